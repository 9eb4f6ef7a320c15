"""What the host has that a lab could meet: routes, networks, ports."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from lab.desired import management_name, network_name
from lab.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Container

    from lab.engine import Engine
    from lab.topology.model import Topology

CANDIDATES = [IPv4Network(f"172.{second}.{third}.0/24") for second in (30, 31, 29, 28) for third in range(256)]
"""Where a free subnet is looked for: private space that Docker's own pools and home routers seldom use."""
PORT_TRIES = 100
INSTANCES = 25
"""inotify instances of one node: systemd, containerd, kubelet and its watchers use some twenty (counted)."""


def routes() -> dict[IPv4Network, str]:
    """Give the host's IPv4 routes but the default one, network → device. Empty where the host is no Linux."""
    table = Path("/proc/net/route")
    if not table.exists():
        return {}
    found = {}
    for line in table.read_text().splitlines()[1:]:
        device, target, _, _, _, _, _, mask = line.split()[:8]
        if mask != "00000000":
            found[IPv4Network(f"{_address(target)}/{_address(mask)}")] = device
    return found


def _address(word: str) -> IPv4Address:
    """The table's words are 32-bit numbers in hexadecimal, in the host's byte order (proc(5))."""
    return IPv4Address(struct.pack("=I", int(word, 16)))


def taken(engine: Engine, own: Container[str]) -> dict[IPv4Network, str]:
    """Give every network that the host or its engine uses, but the lab's own."""
    subnets = {IPv4Network(subnet, strict=False): name for subnet, name in engine.subnets().items()}
    networks = {subnet: f"Docker network {name}" for subnet, name in subnets.items() if name not in own}
    for network, device in routes().items():
        if network not in subnets:  # an engine's network is a route, too
            networks[network] = f"the host's route by {device}"
    return networks


def check_subnets(topology: Topology, engine: Engine, there: Container[str]) -> None:
    """Raise InputError where a network that is to be made (not `there` yet) meets one of the host's, with a free one proposed."""
    own = topology.network
    wanted = {network_name(topology.name): ("subnet", own.subnet), management_name(topology.name): ("management", own.management)}
    used = taken(engine, wanted)
    for key, subnet in (row for name, row in wanted.items() if name not in there):
        for network, what in used.items():
            if network.overlaps(subnet):
                free = next((str(candidate) for candidate in CANDIDATES if not any(candidate.overlaps(other) for other in used)), "none found")
                raise InputError(
                    f"the lab's network.{key} {subnet} meets {network} ({what}); nothing was changed",
                    f"free is {free}: change network.{key}" + (" and the addresses in it" if key == "subnet" else ""),
                )


def few_watches(nodes: int, root: Path = Path("/proc/sys/fs/inotify")) -> str:
    """Say that the kernel's inotify instances are too few for so many nodes, or nothing. Kubelets would fail late and oddly."""
    limit = root / "max_user_instances"
    if not limit.exists() or int(limit.read_text()) >= nodes * INSTANCES:
        return ""
    return f"fs.inotify.max_user_instances is {limit.read_text().strip()}, {nodes} nodes want {nodes * INSTANCES}: `sudo halab doctor --fix`"


def free_port(wanted: int) -> int:
    """Give the wanted port of 127.0.0.1, or the next free one above it; 0: any free one."""
    for port in range(wanted, min(wanted + PORT_TRIES, 65536)) if wanted else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise InputError(f"no free port on 127.0.0.1 from {wanted} on", "set loadbalancer.host_port to another one, or 0 for any")
