"""What a container gets of the engine's machine: each privilege, each mount, and why."""

from __future__ import annotations

from typing import Any

from docker.types import Mount

COMMON: dict[str, Any] = {
    # Its own view of cgroups: systemd and kubelet then manage a tree that begins at the node.
    "cgroupns": "private",
    # systemd wants both empty at boot; /tmp must be executable for installers.
    "tmpfs": {"/run": "", "/tmp": "exec"},  # noqa: S108 (the node's mount points)
    # Corosync's IPC keeps rings of 1 MiB per client in /dev/shm; Docker's 64 MiB are too few
    # (corosync issue 455).
    "shm_size": 256 * 1024 * 1024,
    # Nothing restarts a node but halab: a node that fails must stay failed until somebody looks.
    "restart_policy": {"Name": "no"},
}
MODULES = "/lib/modules"
"""The kernel's modules on the engine's machine; some have none (Docker Desktop's, sandboxes)."""

PRIVILEGED: dict[str, Any] = {
    # What kind and K3s's own tests use: systemd mounts cgroups, kubelet mounts volumes, containerd
    # makes namespaces, flannel and kube-proxy change routes, rules and sysctls.
    "privileged": True,
    # For `modprobe br_netfilter` (halab-init says why), as kind does. A mount, no bind: for a bind
    # the engine would make the folder where it is missing. Not at /lib/modules: /lib is a symbolic
    # link in Debian's images (see SOCKET_INSIDE).
    "mounts": [Mount(target="/usr/lib/modules", source=MODULES, type="bind", read_only=True)],
}
CAPABILITIES: dict[str, Any] = {
    # For engines whose own bounding set lacks CAP_SYS_RESOURCE (nested and sandboxed ones): there
    # `--privileged` fails. No modules either: what such a sandbox shows are not its kernel's.
    "cap_add": ["ALL"],
    "cap_drop": ["SYS_RESOURCE"],
    # seccomp and AppArmor profiles forbid mount(2).
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    # Pods get devices; the engine's default allows only a few.
    "device_cgroup_rules": ["a *:* rwm"],
    # kubelet's watcher of out-of-memory kills reads the kernel's log.
    "devices": ["/dev/kmsg:/dev/kmsg:rwm"],
}
UNPRIVILEGED: dict[str, Any] = {
    # What is no machine needs nothing of the kernel.
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "restart_policy": {"Name": "no"},
}
SOCKET_OPTIONS = ["label=disable"]
"""For who is given the engine's socket: SELinux lets no container with a label connect to it.

Docker's own documentation of `--security-opt label=disable`; without SELinux it is ignored.
"""
SOCKET = "/var/run/docker.sock"
"""Docker's own place for its socket on its machine."""
SOCKET_INSIDE = "/run/docker.sock"
"""Where a container finds the socket that it is given: no part of the path may be a symbolic link.

/var/run is one to /run in Debian's images. Docker 28 lays files down by Go's `os.Root`, which
refuses to follow it, for every file of a container that has a mount behind such a link:
"mkdirat var/run: statat var/run: path escapes from parent" (seen on 28.5.2).
"""
