"""What the engine should hold for a lab, and what it holds: networks, volumes, containers.

Pure values.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from lab.base.hashing import digest
from lab.engine.labels import LABEL_NODE

CPU_SHARES = 1024
"""A container's CPU weight by the engine's default."""


def mac_of(ip: str) -> str:
    """Return a machine's MAC address: 02:42 and its IPv4 address, as Docker before 28 makes it."""
    return "02:42:" + ":".join(f"{int(part):02x}" for part in ip.split("."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A folder of the host at a path in a container."""

    folder: str
    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """A container as it should be."""

    name: str
    hostname: str
    image: str
    network: str
    ip: str
    """Its address on `network`."""
    labels: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    """A volume's name → where it is mounted."""
    ports: dict[int, int] = field(default_factory=dict)
    """A TCP port of the container → the port on the host's 127.0.0.1 (0: any)."""
    more: dict[str, str] = field(default_factory=dict)
    """A further network → the address on it."""
    machine: bool = True
    """Whether systemd is PID 1, with a machine's privileges (privileges.py explains each).

    Otherwise the container has none.
    """
    cpu_shares: int = CPU_SHARES
    """Its weight among containers when the processors are busy (cgroups' cpu.shares)."""
    engine_socket: bool = False
    """Whether a container that is no machine gets the engine's socket.

    The baseboard controllers do, which switch power.
    """
    sysctls: dict[str, str] = field(default_factory=dict)
    """Kernel parameters of its own network namespace."""
    mounts: tuple[Bind, ...] = ()
    """Folders of the host."""
    millicpus: int = 0
    """Thousandths of a processor that it may use at most; 0: all processors."""
    memory: int = 0
    """Bytes of memory that it may use at most; 0: all that there is."""

    def fingerprint(self) -> str:
        """Return a short hash of all that cannot change without making the container anew.

        The image is left out: a lab made by an older halab must still start again, and a node that
        is made anew gets the newer image.
        """
        data = {**asdict(self), "image": ""}
        for newer in ("mounts", "millicpus", "memory"):
            if not data[newer]:  # as before there were any: a lab made then is the same
                del data[newer]
        return digest(json.dumps(data, sort_keys=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A bridge as it should be."""

    name: str
    subnet: str
    gateway: str = ""
    internal: bool = False
    """Whether it leads nowhere outside."""
    reserved: tuple[str, ...] = ()
    """Addresses that the engine must not give to a container that asks for none."""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """All that a lab should consist of, in the engine's terms."""

    lab: str
    networks: tuple[NetworkSpec, ...]
    """The lab's own comes first."""
    volumes: dict[str, dict[str, str]]
    """A volume's name → its labels."""
    containers: tuple[ContainerSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContainer:
    """A container as the engine shows it."""

    id: str
    name: str
    state: str
    """The engine's own term: created, running, exited, paused, dead."""
    labels: dict[str, str]
    image: str = ""
    ports: dict[int, int] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether it runs; a paused one does not."""
        return self.state == "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the engine holds under a lab's label."""

    lab: str
    networks: tuple[str, ...] = ()
    topology: str = ""
    """The JSON on its own network's label; "" if that network is not there."""
    snapshot: str = ""
    """The snapshot that it was made from, as its own network's label says; "" for none."""
    volumes: tuple[str, ...] = ()
    containers: tuple[ObservedContainer, ...] = ()

    def container(self, node: str) -> ObservedContainer | None:
        """Return the container of a node; None if there is none."""
        for container in self.containers:
            if container.labels.get(LABEL_NODE) == node:
                return container
        return None

    @property
    def empty(self) -> bool:
        """Whether nothing has the lab's label."""
        return not (self.networks or self.volumes or self.containers)
