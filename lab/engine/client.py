"""The engine's client: looks at what a lab has, makes containers, removes them."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
from docker.types import EndpointConfig

from lab.base.errors import EngineError, InUse
from lab.engine.about import AboutCalls, address
from lab.engine.agents import AgentCalls
from lab.engine.commands import RunCalls
from lab.engine.errors import engine_errors
from lab.engine.files import FileCalls
from lab.engine.images import ImageCalls
from lab.engine.labels import LABEL, LABEL_TOPOLOGY
from lab.engine.networks import NetworkCalls
from lab.engine.place import placed
from lab.engine.power import PowerCalls
from lab.engine.privileges import (
    CAPABILITIES,
    COMMON,
    MODULES,
    PRIVILEGED,
    SOCKET_INSIDE,
    SOCKET_OPTIONS,
    UNPRIVILEGED,
)
from lab.engine.spec import Observed, ObservedContainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.engine.spec import ContainerSpec

API_TIMEOUT_S = 600
"""For one answer of the engine: an image build may be silent for minutes, and a stop on a busy
machine is slow."""

GREETING_TIMEOUT_S = 20
"""For the engine's first word; on a machine in trouble it may take some seconds."""

REMOVAL_TRIES, REMOVAL_EVERY_S = 20, 0.5
"""Ten seconds for somebody else's removal: a busy engine takes two or three for a machine's
files."""


def connect() -> Engine:
    """Connect to the engine that the environment names. Raises EngineError where none answers.

    DOCKER_HOST names it, else Docker's current context: docker's library follows both.
    """
    try:
        # An engine that hangs is found out soon; long work gets its time afterwards.
        client = docker.from_env(version="auto", timeout=GREETING_TIMEOUT_S, max_pool_size=32)
        client.api.timeout = API_TIMEOUT_S
    except docker.errors.DockerException as error:
        text = str(error)
        if "Permission denied" in text or "PermissionError" in text:
            hint = "your user may not use Docker: `sudo usermod -aG docker $USER`, log in again; or run halab with sudo"
            raise EngineError(
                "Docker refuses this user (permission denied on its socket)", hint
            ) from error
        hint = "start Docker (`sudo systemctl start docker`, or Docker Desktop), or let `halab doctor --fix` do it"
        raise EngineError(f"no Docker engine answers at {address()}", hint) from error
    return Engine(client)


class Engine(AgentCalls, FileCalls, ImageCalls, AboutCalls, NetworkCalls, PowerCalls, RunCalls):
    """Docker's API in the words of a lab."""

    def __init__(self, client: docker.DockerClient) -> None:
        """Use a connected client."""
        self._client = client
        self._api: Any = client.api

    # --- looking ---

    def labs(self) -> dict[str, Observed]:
        """Return everything that bears a lab's label, by lab."""
        found = self._bearing(LABEL)
        names = {item["Labels"][LABEL] for items in found.values() for item in items}
        return {name: _observed(name, found) for name in sorted(names)}

    def observe(self, lab: str) -> Observed:
        """Return what bears this lab's label."""
        return _observed(lab, self._bearing(f"{LABEL}={lab}"))

    def _bearing(self, label: str) -> dict[str, list[dict[str, Any]]]:
        """Return what bears a label (`key` or `key=value`), by kind."""
        with engine_errors(f"listing what bears {label}"):
            return {
                "networks": self._api.networks(filters={"label": label}),
                "volumes": self._api.volumes(filters={"label": label})["Volumes"] or [],
                "containers": self._api.containers(all=True, filters={"label": label}),
            }

    def subnets(self) -> dict[str, str]:
        """Return the IPv4 subnets of all the engine's networks, subnet → network name."""
        with engine_errors("listing networks"):
            networks = self._api.networks()
        pools = (
            (pool.get("Subnet", ""), net["Name"])
            for net in networks
            for pool in (net["IPAM"].get("Config") or [])
        )
        return {subnet: name for subnet, name in pools if subnet and ":" not in subnet}

    def owner(self, container: str) -> str | None:
        """Return the lab that a container of this name belongs to; "" for one that is not ours, None where there is none."""
        try:
            labels = self._api.inspect_container(container)["Config"]["Labels"] or {}
        except docker.errors.NotFound:
            return None
        return str(labels.get(LABEL, ""))

    def published(self, container: str, port: int) -> int:
        """Return the host's port where a container's TCP port is published; 0 where it is not."""
        try:
            ports = self._api.inspect_container(container)["NetworkSettings"]["Ports"] or {}
        except docker.errors.NotFound:
            return 0
        rows = ports.get(f"{port}/tcp") or []
        return int(rows[0]["HostPort"]) if rows else 0

    def inspect(self, container: str) -> dict[str, Any]:
        """Return the engine's full description of a container."""
        with engine_errors(f"inspecting {container}"):
            return dict(self._api.inspect_container(container))

    # --- making ---

    def create_volume(self, name: str, labels: dict[str, str]) -> None:
        """Make a volume; one that is there already is left as it is."""
        with engine_errors(f"making volume {name}"):
            self._api.create_volume(name, labels=labels)

    def create_container(
        self, spec: ContainerSpec, labels: dict[str, str], *, privileged: bool
    ) -> None:
        """Make a node's container, not started."""
        ports = {
            f"{inside}/tcp": ("127.0.0.1", outside or None)
            for inside, outside in spec.ports.items()
        }
        binds = {volume: {"bind": path, "mode": "rw"} for volume, path in spec.volumes.items()}
        more: dict[str, Any] = {
            "port_bindings": ports,
            "network_mode": spec.network,
            "cpu_shares": spec.cpu_shares,
        }
        if spec.machine:
            host = self.machine(privileged=privileged, binds=binds, sysctls=spec.sysctls, **more)
        else:
            host = self.plain(binds, engine_socket=spec.engine_socket, **more)
        # The alias lets nodes call each other by name, through the engine's resolver.
        place = placed(self._api.api_version, spec.ip)
        endpoint = EndpointConfig(self._api.api_version, aliases=[spec.hostname], **place)
        hint = (
            "a container of that name that is not this lab's is never touched: remove or rename it"
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
                # halab-init names the interfaces by it: engines attach a container's networks in
                # any order.
                environment={"container": "docker", "HALAB_IP": spec.ip},
                stop_signal="SIGRTMIN+3" if spec.machine else "SIGTERM",
            )
        self.connect(spec)

    def machine(self, *, privileged: bool, **more: Any) -> dict[str, Any]:  # noqa: ANN401 (docker's own options)
        """Return the host configuration of a container that is a machine."""
        host = self._api.create_host_config(
            **COMMON, **(PRIVILEGED if privileged else CAPABILITIES), **more
        )
        # Docker hides and write-protects parts of /proc (`systempaths`); kubelet and kube-proxy
        # write /proc/sys.
        return {**host, "MaskedPaths": [], "ReadonlyPaths": []}

    def plain(
        self,
        binds: dict[str, Any],
        *,
        engine_socket: bool = False,
        **more: Any,  # noqa: ANN401 (docker's own options)
    ) -> dict[str, Any]:
        """Return the host configuration of a container that is no machine."""
        plain = dict(UNPRIVILEGED)
        if engine_socket:
            binds = {**binds, self.socket_path(): {"bind": SOCKET_INSIDE, "mode": "rw"}}
            plain["security_opt"] = [*plain["security_opt"], *SOCKET_OPTIONS]
        return dict(self._api.create_host_config(**plain, binds=binds, **more))

    def _create(self, image: str, host: dict[str, Any], **more: Any) -> str:  # noqa: ANN401
        """Make a container; gives its id. Without modules where the engine's machine has none."""
        try:
            made = self._api.create_container(image, host_config=host, **more)
        except docker.errors.APIError as error:
            mounts = host.get("Mounts") or []
            others = [mount for mount in mounts if mount.get("Source") != MODULES]
            # The engine names the folder that it misses, before it has made anything:
            # "bind source path does not exist: …" (moby daemon/volume/mounts/validate.go).
            if len(others) == len(mounts) or MODULES not in str(error.explanation):
                raise
            made = self._api.create_container(image, host_config={**host, "Mounts": others}, **more)
        return str(made["Id"])

    # --- removing ---

    def remove_container(self, container: str) -> None:
        """Remove a container with its anonymous volumes; one that is gone already is fine, somebody else's removal is waited for."""
        with engine_errors(f"removing {container}"), contextlib.suppress(docker.errors.NotFound):
            for left in reversed(range(REMOVAL_TRIES)):
                try:
                    self._api.remove_container(container, v=True, force=True)
                except docker.errors.APIError as error:
                    # "already in progress", "failed to remove root filesystem": two removals at
                    # once, of ^C and of `destroy`.
                    if not left or not any(
                        word in str(error.explanation)
                        for word in ("in progress", "failed to remove")
                    ):
                        raise
                else:
                    break
                time.sleep(REMOVAL_EVERY_S)

    def remove_volume(self, volume: str) -> None:
        """Remove a volume; one that is gone is fine. Raise InUse where a container has it."""
        what = f"removing volume {volume}"
        # "remove NAME: volume is in use - [ID]" (moby volume/service/store.go).
        with (
            engine_errors(what, kinds={"in use": InUse}),
            contextlib.suppress(docker.errors.NotFound),
        ):
            self._api.remove_volume(volume, force=True)

    def remove_network(self, network: str) -> None:
        """Remove a network; one that is gone is fine. Raise InUse where a container has it."""
        what = f"removing network {network}"
        # "network NAME id ID has active endpoints" (moby libnetwork/error.go).
        kinds = {"active endpoints": InUse}
        with engine_errors(what, kinds=kinds), contextlib.suppress(docker.errors.NotFound):
            self._api.remove_network(network)

    def labelled(self, label: str) -> tuple[list[str], list[str], list[str]]:
        """Return the ids or names of containers, volumes and networks that bear a label (`key=value`)."""
        with engine_errors(f"listing what bears {label}"):
            containers = [
                str(item["Id"]) for item in self._api.containers(all=True, filters={"label": label})
            ]
            volumes = [
                str(item["Name"])
                for item in self._api.volumes(filters={"label": label})["Volumes"] or []
            ]
            networks = [str(item["Id"]) for item in self._api.networks(filters={"label": label})]
        return containers, volumes, networks

    def create_helper(
        self,
        image: str,
        command: Sequence[str],
        labels: dict[str, str],
        host: dict[str, Any] | None = None,
    ) -> str:
        """Make a short-lived container of ours, without a network, not started; gives its id.

        The caller removes it.
        """
        with engine_errors(f"making a helper container of {image}"):
            config = host or self._api.create_host_config()
            silent = {"entrypoint": list(command), "command": [], "network_disabled": True}
            return self._create(image, config, labels=labels, **silent)

    def wait(self, container: str, timeout_s: float) -> int:
        """Wait until a container ends; gives its exit code."""
        with engine_errors(f"waiting for {container}"):
            return int(self._api.wait(container, timeout=timeout_s)["StatusCode"])


def _observed(lab: str, found: dict[str, list[dict[str, Any]]]) -> Observed:
    mine = {
        kind: [item for item in items if item["Labels"][LABEL] == lab]
        for kind, items in found.items()
    }
    topology = next(
        (text for item in mine["networks"] if (text := item["Labels"].get(LABEL_TOPOLOGY))), ""
    )
    return Observed(
        lab=lab,
        networks=tuple(sorted(item["Name"] for item in mine["networks"])),
        topology=topology,
        volumes=tuple(sorted(item["Name"] for item in mine["volumes"])),
        containers=tuple(sorted(map(_container, mine["containers"]), key=lambda item: item.name)),
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
        labels=dict(item["Labels"]),
        image=item["Image"],
        ports=ports,
    )
