"""What a container gets of the engine's machine: each privilege, each mount, and the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docker.types import Mount

if TYPE_CHECKING:
    from lab.engine.spec import Bind, ContainerSpec

MACHINE_OPTIONS: dict[str, Any] = {
    # With a view of cgroups of its own, systemd and kubelet manage a tree that begins at the node.
    "cgroupns": "private",
    # systemd wants both empty at boot; installers need an executable /tmp.
    "tmpfs": {"/run": "", "/tmp": "exec"},  # noqa: S108 (the node's mount points)
    # Corosync's IPC keeps rings of 1 MiB per client in /dev/shm; Docker's 64 MiB are too few
    # (corosync issue 455).
    "shm_size": 256 * 1024 * 1024,
    # Nothing but halab restarts a node: one that fails must stay failed until somebody looks.
    "restart_policy": {"Name": "no"},
}
"""For every machine."""
CPU_PERIOD_US = 100_000
"""The kernel's own period of CPU quotas (cgroups' cpu.cfs_period_us)."""
MODULES = "/lib/modules"
"""The kernel's modules on the engine's machine. Some have none (Docker Desktop's, sandboxes)."""

PRIVILEGED: dict[str, Any] = {
    # As in kind and K3s's own tests: systemd mounts cgroups, kubelet mounts volumes, containerd
    # makes namespaces, flannel and kube-proxy change routes, rules and sysctls.
    "privileged": True,
    # For `modprobe br_netfilter` (halab-init says why), as kind does. A mount instead of a bind,
    # for which the engine would make a missing folder. Not at /lib/modules, since /lib is a
    # symbolic link in Debian's images (see SOCKET_INSIDE).
    "mounts": [Mount(target="/usr/lib/modules", source=MODULES, type="bind", read_only=True)],
}
"""For machines where `--privileged` starts."""
CAPABILITIES: dict[str, Any] = {
    # Engines whose own bounding set lacks CAP_SYS_RESOURCE (nested and sandboxed ones) cannot start
    # `--privileged`. Modules are left out, too: those that such a sandbox shows are not its
    # kernel's.
    "cap_add": ["ALL"],
    "cap_drop": ["SYS_RESOURCE"],
    # The engine's seccomp and AppArmor profiles forbid mount(2).
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    # Pods get devices, of which the engine allows only a few by default.
    "device_cgroup_rules": ["a *:* rwm"],
    # kubelet's watcher of out-of-memory kills reads the kernel's log.
    "devices": ["/dev/kmsg:/dev/kmsg:rwm"],
}
"""For machines where `--privileged` does not start."""
UNPRIVILEGED: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "restart_policy": {"Name": "no"},
}
"""For containers that are no machines: they need nothing of the kernel."""
SOCKET_OPTIONS = ["label=disable"]
"""For a container with the engine's socket: SELinux lets none that has a label connect to it.

Docker documents it as `--security-opt label=disable`; without SELinux it does nothing.
"""
SOCKET = "/var/run/docker.sock"
"""Docker's usual socket on its own machine."""
SOCKET_INSIDE = "/run/docker.sock"
"""Where a container finds the engine's socket. No part of the path may be a symbolic link.

In Debian's images /var/run is a link to /run. Docker 28 lays files down by Go's `os.Root`, which
refuses to follow such a link. If a mount lies behind one, this fails for every file of the
container: "mkdirat var/run: statat var/run: path escapes from parent" (seen on 28.5.2).
"""


def mounted(bind: Bind) -> Mount:
    """Return a folder of the host as a mount: the engine makes no folder that is missing."""
    return Mount(target=bind.path, source=bind.folder, type="bind", read_only=not bind.writable)


def limits(spec: ContainerSpec) -> dict[str, int]:
    """Return how much of the host a container may use; nothing for no limit.

    Without swap beside it, the limit of memory is a hard one. A quota instead of the engine's
    `NanoCpus`: that one refuses more processors than there are, and no fault could change it.
    """
    options = {}
    if spec.millicpus:
        options = {"cpu_period": CPU_PERIOD_US, "cpu_quota": spec.millicpus * CPU_PERIOD_US // 1000}
    if spec.memory:
        options |= {"mem_limit": spec.memory, "memswap_limit": spec.memory}
    return options
