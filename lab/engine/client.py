"""The engine's client: looks at what labs have, makes containers and removes them."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
from docker.types import EndpointConfig

from lab.base.errors import EngineError, InUse
from lab.engine.about import AboutCalls, address
from lab.engine.agents import AgentCalls
from lab.engine.commands import RunCalls
from lab.engine.connections import keep
from lab.engine.errors import engine_errors
from lab.engine.files import FileCalls
from lab.engine.images import ImageCalls
from lab.engine.labels import LABEL, LABEL_SNAPSHOT, LABEL_TOPOLOGY
from lab.engine.networks import NetworkCalls
from lab.engine.place import placed
from lab.engine.power import PowerCalls
from lab.engine.privileges import (
    CAPABILITIES,
    MACHINE_OPTIONS,
    MODULES,
    PRIVILEGED,
    SOCKET_INSIDE,
    SOCKET_OPTIONS,
    UNPRIVILEGED,
    limits,
    mounted,
)
from lab.engine.spec import Observed, ObservedContainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.engine.spec import Bind, ContainerSpec

API_TIMEOUT_S = 600
"""For one answer of the engine: an image build may be silent for minutes, and a stop takes long on
a busy machine."""

CONNECTIONS = 32
"""That are kept: more than questions are asked side by side."""

GREETING_TIMEOUT_S = 20
"""For the engine's first answer, which may take some seconds on a machine in trouble."""

REMOVAL_TRIES, REMOVAL_EVERY_S = 20, 0.5
"""Ten seconds for somebody else's removal: a busy engine takes two or three for a machine's
files."""
REMOVAL_UNDER_WAY = ("in progress", "failed to remove")
"""Phrases of the engine's message when two removals meet, of ^C and of `destroy`: "already in
progress", "failed to remove root filesystem"."""


def connect() -> Engine:
    """Connect to the engine that DOCKER_HOST names, else Docker's current context.

    docker's library follows both. Raises EngineError, with a hint, if no engine answers.
    """
    try:
        # A short time first: an engine that hangs is noticed soon. Long work gets its own.
        client = docker.from_env(version="auto", timeout=GREETING_TIMEOUT_S)
        client.api.timeout = API_TIMEOUT_S
        keep(client.api, CONNECTIONS)
    except docker.errors.DockerException as error:
        raise _unreached(str(error)) from error
    return Engine(client)


def _unreached(reason: str) -> EngineError:
    if "Permission denied" in reason or "PermissionError" in reason:
        return EngineError(
            "Docker refuses this user (permission denied on its socket)",
            "add your user to Docker's group (`sudo usermod -aG docker $USER`) and log in again,"
            " or run halab with sudo",
        )
    return EngineError(
        f"no Docker engine answers at {address()}",
        "start Docker (`sudo systemctl start docker`, or Docker Desktop),"
        " or let `halab doctor --fix` do it",
    )


class Engine(AgentCalls, FileCalls, ImageCalls, AboutCalls, NetworkCalls, PowerCalls, RunCalls):
    """Docker's API in a lab's terms."""

    def __init__(self, client: docker.DockerClient) -> None:
        """Use a connected client."""
        self._client = client
        self._api: Any = client.api

    # --- looking ---

    def labs(self) -> dict[str, Observed]:
        """Return everything that has a lab's label: lab → what it has, sorted by name."""
        resources = self._bearing(LABEL)
        names = {item["Labels"][LABEL] for items in resources.values() for item in items}
        # Empty on what was made of a snapshot's image, and is no lab's.
        return {name: _observed(name, resources) for name in sorted(names - {""})}

    def observe(self, lab: str) -> Observed:
        """Return everything that has this lab's label."""
        return _observed(lab, self._bearing(f"{LABEL}={lab}"))

    def _bearing(self, label: str) -> dict[str, list[dict[str, Any]]]:
        """Return what has a label (`key` or `key=value`): kind → the engine's descriptions."""
        filters = {"label": label}
        with engine_errors(f"listing what has the label {label}"), ThreadPoolExecutor(3) as pool:
            networks = pool.submit(self._api.networks, filters=filters)
            volumes = pool.submit(self._api.volumes, filters=filters)
            containers = pool.submit(self._api.containers, all=True, filters=filters)
            return {
                "networks": networks.result(),
                "volumes": volumes.result()["Volumes"] or [],
                "containers": containers.result(),
            }

    def subnets(self) -> dict[str, str]:
        """Return the IPv4 subnets of all the engine's networks: subnet → network name."""
        with engine_errors("listing networks"):
            networks = self._api.networks()
        pools = (
            (pool.get("Subnet", ""), network["Name"])
            for network in networks
            for pool in (network["IPAM"].get("Config") or [])
        )
        return {subnet: name for subnet, name in pools if subnet and ":" not in subnet}

    def owner(self, container: str) -> str | None:
        """Return the lab that a container of this name belongs to.

        It is "" for a container that is not halab's, and None if there is no such container.
        """
        try:
            labels = self._api.inspect_container(container)["Config"]["Labels"] or {}
        except docker.errors.NotFound:
            return None
        return str(labels.get(LABEL, ""))

    def published(self, container: str, port: int) -> int:
        """Return the host's port on which a container's TCP port is published; 0 for none."""
        try:
            ports = self._api.inspect_container(container)["NetworkSettings"]["Ports"] or {}
        except docker.errors.NotFound:
            return 0
        rows = ports.get(f"{port}/tcp") or []
        return int(rows[0]["HostPort"]) if rows else 0

    def inspect(self, container: str) -> dict[str, Any]:
        """Return the engine's full description of a container. Raises EngineError if it is gone."""
        with engine_errors(f"inspecting {container}"):
            return dict(self._api.inspect_container(container))

    # --- making ---

    def create_volume(self, name: str, labels: dict[str, str]) -> None:
        """Make a volume; an existing one is left as it is."""
        with engine_errors(f"making volume {name}"):
            self._api.create_volume(name, labels=labels)

    def create_container(
        self, spec: ContainerSpec, labels: dict[str, str], *, privileged: bool
    ) -> None:
        """Make a node's container, on all its networks, without starting it.

        `labels` are added to the spec's own. `privileged` matters to machines only: without it they
        get the capabilities that the engine can give. Raises EngineError if the name is taken.
        """
        ports = {
            f"{inside}/tcp": ("127.0.0.1", outside or None)
            for inside, outside in spec.ports.items()
        }
        binds = {volume: {"bind": path, "mode": "rw"} for volume, path in spec.volumes.items()}
        more: dict[str, Any] = {
            "port_bindings": ports,
            "network_mode": spec.network,
            "cpu_shares": spec.cpu_shares,
            **limits(spec),
        }
        if spec.machine:
            more |= {"binds": binds, "sysctls": spec.sysctls}
            host = self.machine(privileged=privileged, mounts=spec.mounts, **more)
        else:
            host = self.plain(binds, engine_socket=spec.engine_socket, **more)
        # The alias lets nodes call each other by name, through the engine's resolver.
        place = placed(self._api.api_version, spec.ip)
        endpoint = EndpointConfig(self._api.api_version, aliases=[spec.hostname], **place)
        hint = (
            "there is a container of that name that is no lab's, which is never touched:"
            " remove or rename it"
            if self.owner(spec.name) == ""
            else ""
        )
        with engine_errors(f"making container {spec.name}", hint):
            self._create(
                spec.image,
                host,
                name=spec.name,
                hostname=spec.hostname,
                labels={**spec.labels, **labels},
                networking_config=self._api.create_networking_config({spec.network: endpoint}),
                ports=[int(inside) for inside in spec.ports],
                # By HALAB_IP halab-init names the interfaces: engines attach a container's networks
                # in any order.
                environment={"container": "docker", "HALAB_IP": spec.ip},
                stop_signal="SIGRTMIN+3" if spec.machine else "SIGTERM",
            )
        self.connect(spec)

    def machine(
        self,
        *,
        privileged: bool,
        mounts: Sequence[Bind] = (),
        **more: Any,  # noqa: ANN401 (docker's own options)
    ) -> dict[str, Any]:
        """Return the host configuration of a container that is a machine."""
        privilege = PRIVILEGED if privileged else CAPABILITIES
        if mounts:
            all_mounts = [*privilege.get("mounts", []), *map(mounted, mounts)]
            privilege = {**privilege, "mounts": all_mounts}
        host = self._api.create_host_config(**MACHINE_OPTIONS, **privilege, **more)
        # Docker hides and write-protects parts of /proc (`systempaths`), but kubelet and kube-proxy
        # write to /proc/sys.
        return {**host, "MaskedPaths": [], "ReadonlyPaths": []}

    def plain(
        self,
        binds: dict[str, Any],
        *,
        engine_socket: bool = False,
        **more: Any,  # noqa: ANN401 (docker's own options)
    ) -> dict[str, Any]:
        """Return the host configuration of a container that is no machine: without privileges.

        With `engine_socket` it gets the engine's socket, at SOCKET_INSIDE.
        """
        options = dict(UNPRIVILEGED)
        if engine_socket:
            binds = {**binds, self.socket_path(): {"bind": SOCKET_INSIDE, "mode": "rw"}}
            options["security_opt"] = [*options["security_opt"], *SOCKET_OPTIONS]
        return dict(self._api.create_host_config(**options, binds=binds, **more))

    def _create(self, image: str, host: dict[str, Any], **more: Any) -> str:  # noqa: ANN401
        """Make a container; return its id.

        If the engine's machine has no kernel modules, the container gets no mount for them.
        """
        try:
            container = self._api.create_container(image, host_config=host, **more)
        except docker.errors.APIError as error:
            mounts = host.get("Mounts") or []
            others = [mount for mount in mounts if mount.get("Source") != MODULES]
            # The engine names the missing folder before it has made anything:
            # "bind source path does not exist: …" (moby daemon/volume/mounts/validate.go).
            if len(others) == len(mounts) or MODULES not in str(error.explanation):
                raise
            host = {**host, "Mounts": others}
            container = self._api.create_container(image, host_config=host, **more)
        return str(container["Id"])

    # --- removing ---

    def remove_container(self, container: str) -> None:
        """Remove a container, running or not, with its anonymous volumes.

        A container that is gone already is fine. Somebody else's removal is waited for.
        """
        with engine_errors(f"removing {container}"), contextlib.suppress(docker.errors.NotFound):
            for left in reversed(range(REMOVAL_TRIES)):
                try:
                    self._api.remove_container(container, v=True, force=True)
                except docker.errors.APIError as error:
                    reason = str(error.explanation)
                    if not left or not any(phrase in reason for phrase in REMOVAL_UNDER_WAY):
                        raise
                else:
                    break
                time.sleep(REMOVAL_EVERY_S)

    def remove_volume(self, volume: str) -> None:
        """Remove a volume; one that is gone is fine. Raises InUse if a container has it."""
        what = f"removing volume {volume}"
        # "remove NAME: volume is in use - [ID]" (moby volume/service/store.go).
        with (
            engine_errors(what, kinds={"in use": InUse}),
            contextlib.suppress(docker.errors.NotFound),
        ):
            self._api.remove_volume(volume, force=True)

    def remove_network(self, network: str) -> None:
        """Remove a network; one that is gone is fine. Raises InUse if a container is on it."""
        what = f"removing network {network}"
        # "network NAME id ID has active endpoints" (moby libnetwork/error.go).
        kinds = {"active endpoints": InUse}
        with engine_errors(what, kinds=kinds), contextlib.suppress(docker.errors.NotFound):
            self._api.remove_network(network)

    def labelled(self, label: str) -> tuple[list[str], list[str], list[str]]:
        """Return what has a label (`key=value`).

        These are the containers' ids, the volumes' names and the networks' ids.
        """
        resources = self._bearing(label)
        return (
            [str(item["Id"]) for item in resources["containers"]],
            [str(item["Name"]) for item in resources["volumes"]],
            [str(item["Id"]) for item in resources["networks"]],
        )

    def create_helper(
        self,
        image: str,
        command: Sequence[str],
        labels: dict[str, str],
        host: dict[str, Any] | None = None,
    ) -> str:
        """Make a short-lived container without a network and without starting it; return its id.

        `host` is its host configuration, of `machine` or `plain`. The caller removes it.
        """
        with engine_errors(f"making a helper container of {image}"):
            config = host or self._api.create_host_config()
            silent = {"entrypoint": list(command), "command": [], "network_disabled": True}
            return self._create(image, config, labels=labels, **silent)

    def wait(self, container: str, timeout_s: float) -> int:
        """Wait until a container ends; return its exit code.

        Raises EngineError if it has not ended after `timeout_s` seconds.
        """
        with engine_errors(f"waiting for {container}"):
            return int(self._api.wait(container, timeout=timeout_s)["StatusCode"])


def _observed(lab: str, resources: dict[str, list[dict[str, Any]]]) -> Observed:
    own = {
        kind: [item for item in items if item["Labels"][LABEL] == lab]
        for kind, items in resources.items()
    }
    topologies = [item["Labels"].get(LABEL_TOPOLOGY) for item in own["networks"]]
    snapshots = [item["Labels"].get(LABEL_SNAPSHOT) for item in own["networks"]]
    containers = [_container(item) for item in own["containers"]]
    return Observed(
        lab=lab,
        networks=tuple(sorted(item["Name"] for item in own["networks"])),
        topology=next((text for text in topologies if text), ""),
        snapshot=next((text for text in snapshots if text), ""),
        volumes=tuple(sorted(item["Name"] for item in own["volumes"])),
        containers=tuple(sorted(containers, key=lambda container: container.name)),
    )


def _container(item: dict[str, Any]) -> ObservedContainer:
    ports = {
        port["PrivatePort"]: port["PublicPort"]
        for port in item.get("Ports") or []
        if port.get("PublicPort")
    }
    return ObservedContainer(
        id=item["Id"],
        name=item["Names"][0].lstrip("/"),
        state=item["State"],
        # Empty are those that a snapshot's image hands on: they say nothing.
        labels={key: text for key, text in item["Labels"].items() if text},
        image=item["Image"],
        ports=ports,
    )
