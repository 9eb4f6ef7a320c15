"""The container engine: the only door to Docker. Everything it makes bears the lab's label, everything it removes must.

Each privilege that a node gets is explained here, at PRIVILEGED and CAPABILITIES.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
from docker.types import EndpointConfig

from lab.engine.agents import AgentCalls, Conversation
from lab.engine.archive import pack, unpack
from lab.engine.files import FileCalls
from lab.engine.images import ImageCalls
from lab.engine.networks import NetworkCalls
from lab.engine.place import placed
from lab.engine.power import PowerCalls
from lab.engine.running import Result, RunCalls
from lab.engine.told import told
from lab.errors import EngineError
from lab.spec import LABEL, LABEL_TOPOLOGY, Observed, ObservedContainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.spec import ContainerSpec

__all__ = ["Conversation", "Engine", "Result", "connect", "pack", "unpack"]

API_TIMEOUT_S = 600
"""For one answer of the engine: an image build may be silent for minutes, and a stop on a busy machine is slow."""

GREETING_TIMEOUT_S = 20
"""For the engine's first word; on a machine in trouble it may take some seconds."""

COMMON: dict[str, Any] = {
    # Its own view of cgroups: systemd and kubelet then manage a tree that begins at the node.
    "cgroupns": "private",
    # systemd wants both empty at boot; /tmp must be executable for installers.
    "tmpfs": {"/run": "", "/tmp": "exec"},  # noqa: S108 (a mount point in the node, not a file of ours)
    # Corosync's IPC keeps rings of 1 MiB per client in /dev/shm; Docker's 64 MiB are too few (corosync issue 455).
    "shm_size": 256 * 1024 * 1024,
    # Nothing restarts a node but halab: a node that fails must stay failed until somebody looks.
    "restart_policy": {"Name": "no"},
}
PRIVILEGED: dict[str, Any] = {
    # What kind and K3s's own tests use: systemd mounts cgroups, kubelet mounts volumes, containerd makes namespaces,
    # flannel and kube-proxy change routes, rules and sysctls.
    "privileged": True,
}
CAPABILITIES: dict[str, Any] = {
    # For engines whose own bounding set lacks CAP_SYS_RESOURCE (nested and sandboxed ones): there `--privileged` fails.
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
REMOVAL_TRIES, REMOVAL_EVERY_S = 20, 0.5
"""Ten seconds for somebody else's removal: a busy engine takes two or three for a machine's files."""
SOCKET = "/var/run/docker.sock"
"""Docker's own place for its socket on its machine."""
SOCKET_INSIDE = "/run/docker.sock"
"""Where a container finds the socket that it is given: no part of the path may be a symbolic link.

/var/run is one to /run in Debian's images. Docker 28 lays files down by Go's `os.Root`, which
refuses to follow it, for every file of a container that has a mount behind such a link:
"mkdirat var/run: statat var/run: path escapes from parent" (seen on 28.5.2).
"""


def connect() -> Engine:
    """Connect to the engine that the environment names (DOCKER_HOST, else the local socket). Raises EngineError where none answers."""
    try:
        # An engine that hangs is found out soon; long work gets its time afterwards.
        client = docker.from_env(version="auto", timeout=GREETING_TIMEOUT_S, max_pool_size=32)
        client.api.timeout = API_TIMEOUT_S
    except docker.errors.DockerException as error:
        text = str(error)
        if "Permission denied" in text or "PermissionError" in text:
            hint = "your user may not use Docker: `sudo usermod -aG docker $USER`, log in again; or run halab with sudo"
            raise EngineError("Docker refuses this user (permission denied on its socket)", hint) from error
        hint = "start Docker (`sudo systemctl start docker`, or Docker Desktop), or let `halab doctor --fix` do it"
        raise EngineError("no Docker engine answers", hint) from error
    return Engine(client)


class Engine(AgentCalls, FileCalls, ImageCalls, NetworkCalls, PowerCalls, RunCalls):
    """Docker's API in the words of a lab."""

    def __init__(self, client: docker.DockerClient) -> None:
        """Use a connected client."""
        self._client = client
        self._api: Any = client.api

    # --- looking ---

    def info(self) -> dict[str, Any]:
        """Give the engine's own description (`docker info`)."""
        with told("asking the engine about itself"):
            return {**self._api.info(), "ApiVersion": self._api.api_version}

    def labs(self) -> dict[str, Observed]:
        """Give everything that bears a lab's label, by lab."""
        with told("listing labs"):
            found = {
                "networks": self._api.networks(filters={"label": LABEL}),
                "volumes": self._api.volumes(filters={"label": LABEL})["Volumes"] or [],
                "containers": self._api.containers(all=True, filters={"label": LABEL}),
            }
        names = {item["Labels"][LABEL] for items in found.values() for item in items}
        return {name: _observed(name, found) for name in sorted(names)}

    def observe(self, lab: str) -> Observed:
        """Give what bears this lab's label."""
        return self.labs().get(lab, Observed(lab=lab))

    def subnets(self) -> dict[str, str]:
        """Give the IPv4 subnets of all the engine's networks, subnet → network name."""
        with told("listing networks"):
            networks = self._api.networks()
        pools = ((pool.get("Subnet", ""), net["Name"]) for net in networks for pool in (net["IPAM"].get("Config") or []))
        return {subnet: name for subnet, name in pools if subnet and ":" not in subnet}

    def owner(self, container: str) -> str | None:
        """Give the lab that a container of this name belongs to; "" for one that is not ours, None where there is none."""
        try:
            labels = self._api.inspect_container(container)["Config"]["Labels"] or {}
        except docker.errors.NotFound:
            return None
        return str(labels.get(LABEL, ""))

    def inspect(self, container: str) -> dict[str, Any]:
        """Give the engine's full description of a container."""
        with told(f"inspecting {container}"):
            return dict(self._api.inspect_container(container))

    # --- making ---

    def create_volume(self, name: str, labels: dict[str, str]) -> None:
        """Make a volume; one that is there already is left as it is."""
        with told(f"making volume {name}"):
            self._api.create_volume(name, labels=labels)

    def create_container(self, spec: ContainerSpec, labels: dict[str, str], *, privileged: bool) -> None:
        """Make a node's container, not started."""
        ports = {f"{inside}/tcp": ("127.0.0.1", outside or None) for inside, outside in spec.ports.items()}
        binds = {volume: {"bind": path, "mode": "rw"} for volume, path in spec.volumes.items()}
        more: dict[str, Any] = {"port_bindings": ports, "network_mode": spec.network, "cpu_shares": spec.cpu_shares}
        if spec.machine:
            host = self.machine(privileged=privileged, binds=binds, sysctls=spec.sysctls, **more)
        else:
            binds |= {self.socket_path(): {"bind": SOCKET_INSIDE, "mode": "rw"}} if spec.engine_socket else {}
            host = self._api.create_host_config(**UNPRIVILEGED, binds=binds, **more)
        # The alias lets nodes call each other by name, through the engine's resolver.
        place = placed(self._api.api_version, spec.ip)
        endpoint = EndpointConfig(self._api.api_version, aliases=[spec.hostname], **place)
        hint = "a container of that name that is not this lab's is never touched: remove or rename it" if self.owner(spec.name) == "" else ""
        with told(f"making container {spec.name}", hint):
            self._api.create_container(
                spec.image,
                name=spec.name,
                hostname=spec.hostname,
                labels={**spec.labels, **labels},
                host_config=host,
                networking_config=self._api.create_networking_config({spec.network: endpoint}),
                ports=[int(inside) for inside in spec.ports],
                # halab-init names the interfaces by it: engines attach a container's networks in any order.
                environment={"container": "docker", "HALAB_IP": spec.ip},
                stop_signal="SIGRTMIN+3" if spec.machine else "SIGTERM",
            )
        self.connect(spec)

    def machine(self, *, privileged: bool, **more: Any) -> dict[str, Any]:  # noqa: ANN401 (docker's own options)
        """Give the host configuration of a container that is a machine."""
        host = self._api.create_host_config(**COMMON, **(PRIVILEGED if privileged else CAPABILITIES), **more)
        # Docker hides and write-protects parts of /proc (`systempaths`); kubelet and kube-proxy write /proc/sys.
        return {**host, "MaskedPaths": [], "ReadonlyPaths": []}

    def socket_path(self) -> str:
        """Give the engine's socket as the engine's own machine has it: a rootless one's is elsewhere, Docker Desktop's is in its own machine."""
        base = str(self._api.base_url)
        path = os.environ.get("DOCKER_HOST", "").removeprefix("unix://")
        return path if sys.platform == "linux" and base.startswith("http+docker") and path.startswith("/") else SOCKET

    # --- removing ---

    def remove_container(self, container: str) -> None:
        """Remove a container with its anonymous volumes; one that is gone already is fine, somebody else's removal is waited for."""
        with told(f"removing {container}"), contextlib.suppress(docker.errors.NotFound):
            for left in reversed(range(REMOVAL_TRIES)):
                try:
                    self._api.remove_container(container, v=True, force=True)
                except docker.errors.APIError as error:
                    # "already in progress", "failed to remove root filesystem": two removals at once, of ^C and of `destroy`.
                    if not left or not any(word in str(error.explanation) for word in ("in progress", "failed to remove")):
                        raise
                else:
                    break
                time.sleep(REMOVAL_EVERY_S)

    def remove_volume(self, volume: str) -> None:
        """Remove a volume; one that is gone already is fine."""
        with told(f"removing volume {volume}"), contextlib.suppress(docker.errors.NotFound):
            self._api.remove_volume(volume, force=True)

    def remove_network(self, network: str) -> None:
        """Remove a network; one that is gone already is fine."""
        with told(f"removing network {network}"), contextlib.suppress(docker.errors.NotFound):
            self._api.remove_network(network)

    def labelled(self, label: str) -> tuple[list[str], list[str], list[str]]:
        """Give the ids or names of containers, volumes and networks that bear a label (`key=value`)."""
        with told(f"listing what bears {label}"):
            containers = [str(item["Id"]) for item in self._api.containers(all=True, filters={"label": label})]
            volumes = [str(item["Name"]) for item in self._api.volumes(filters={"label": label})["Volumes"] or []]
            networks = [str(item["Id"]) for item in self._api.networks(filters={"label": label})]
        return containers, volumes, networks

    def create_helper(self, image: str, command: Sequence[str], labels: dict[str, str], host: dict[str, Any] | None = None) -> str:
        """Make a short-lived container of ours, without a network, not started; gives its id. The caller removes it."""
        with told(f"making a helper container of {image}"):
            config = host or self._api.create_host_config()
            made = self._api.create_container(
                image, entrypoint=list(command), command=[], labels=labels, host_config=config, network_disabled=True
            )
            return str(made["Id"])

    def wait(self, container: str, timeout_s: float) -> int:
        """Wait until a container ends; gives its exit code."""
        with told(f"waiting for {container}"):
            return int(self._api.wait(container, timeout=timeout_s)["StatusCode"])


def _observed(lab: str, found: dict[str, list[dict[str, Any]]]) -> Observed:
    mine = {kind: [item for item in items if item["Labels"][LABEL] == lab] for kind, items in found.items()}
    topology = next((text for item in mine["networks"] if (text := item["Labels"].get(LABEL_TOPOLOGY))), "")
    return Observed(
        lab=lab,
        networks=tuple(sorted(item["Name"] for item in mine["networks"])),
        topology=topology,
        volumes=tuple(sorted(item["Name"] for item in mine["volumes"])),
        containers=tuple(sorted(map(_container, mine["containers"]), key=lambda item: item.name)),
    )


def _container(item: dict[str, Any]) -> ObservedContainer:
    ports = {port["PrivatePort"]: port["PublicPort"] for port in item.get("Ports") or [] if port.get("PublicPort")}
    return ObservedContainer(
        id=item["Id"],
        name=item["Names"][0].lstrip("/"),
        state=item["State"],
        labels=dict(item["Labels"]),
        image=item["Image"],
        ports=ports,
    )
