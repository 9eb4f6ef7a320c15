"""What the engine should hold for a lab: networks, volumes, containers and the files laid down in them. Pure values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from lab.base.hashing import digest
from lab.engine.labels import LABEL_NODE

CPU_SHARES = 1024
"""The engine's default."""


def mac_of(ip: str) -> str:
    """Return the MAC address of a machine: its IPv4 address behind 02:42, as Docker before 28 does.

    Docker 28 and later draw a new one at each start where none is asked for.
    """
    return "02:42:" + ":".join(f"{int(part):02x}" for part in ip.split("."))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """A container as it should be. `volumes` maps a volume's name to where it is mounted.

    `machine` says that systemd is PID 1 and that the node needs a machine's privileges (lab/engine/
    explains each); without it the container has none, but `engine_socket`, if it is named, is
    mounted there: for the baseboard controllers, which switch power. `cpu_shares` is its weight
    among containers when the processors are busy (cgroups' cpu.shares). `sysctls` are kernel
    parameters of its own network namespace. `ports` maps a TCP port of the container to one of the
    host's 127.0.0.1. `more` maps a further network to the address on it.
    """

    name: str
    hostname: str
    image: str
    network: str
    ip: str
    labels: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)
    more: dict[str, str] = field(default_factory=dict)
    machine: bool = True
    cpu_shares: int = CPU_SHARES
    engine_socket: bool = False
    sysctls: dict[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """A short hash of all that cannot be changed without making the container anew.

        But not the image: a lab made by an older halab must still start again; a node made anew
        gets the newer image.
        """
        return digest(json.dumps({**asdict(self), "image": ""}, sort_keys=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A bridge as it should be. An `internal` one leads nowhere outside."""

    name: str
    subnet: str
    gateway: str = ""
    internal: bool = False
    reserved: tuple[str, ...] = ()
    """Addresses that the engine must not give to a container that asks for none."""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """All that a lab should consist of, in the engine's terms."""

    lab: str
    networks: tuple[NetworkSpec, ...]
    """The lab's own first."""
    volumes: dict[str, dict[str, str]]
    containers: tuple[ContainerSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContainer:
    """A container as the engine shows it. `state` is the engine's word: created, running, exited, paused, dead."""

    id: str
    name: str
    state: str
    labels: dict[str, str]
    image: str = ""
    ports: dict[int, int] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether it runs (a paused one does not)."""
        return self.state == "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the engine holds under a lab's label."""

    lab: str
    networks: tuple[str, ...] = ()
    """Their names."""
    topology: str = ""
    """As its own network's label has it; empty where that network is not there."""
    volumes: tuple[str, ...] = ()
    containers: tuple[ObservedContainer, ...] = ()

    def container(self, node: str) -> ObservedContainer | None:
        """Return the container of a node, if there is one."""
        return next(
            (found for found in self.containers if found.labels.get(LABEL_NODE) == node), None
        )

    @property
    def empty(self) -> bool:
        """Whether nothing bears the lab's label."""
        return not (self.networks or self.volumes or self.containers)
