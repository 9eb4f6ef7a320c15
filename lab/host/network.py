"""What the host has that a lab could meet: routes, networks, name servers, ports."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import InputError
from lab.engine.labels import management_name, network_name
from lab.topology.model import KUBERNETES_PORT, from_json, management_of

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterator

    from lab.engine.client import Engine
    from lab.engine.spec import Observed
    from lab.topology.model import Topology

BLOCKS = tuple(IPv4Network(text) for text in ("172.30.0.0/16", "172.28.0.0/16", "10.128.0.0/9"))
"""Where a free subnet is looked for: private, and seldom used by Docker's pools and home routers.

Not 172.31.0.0/16, AWS's default VPC; not 172.29.0.0/16, where management networks are taken from.
"""
RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""The second is systemd-resolved's: the first then names its stub alone (systemd-resolved(8))."""
PORT_TRIES = 100
INSTANCES = 25
"""inotify instances of one node: systemd, containerd, kubelet and its watchers use some twenty
(counted)."""


def routes() -> dict[IPv4Network, str]:
    """Return the host's IPv4 routes but the default one, network → device.

    Empty where the host is no Linux.
    """
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


def name_servers() -> Iterator[IPv4Network]:
    """Yield the host's IPv4 name servers, each as a network of one address."""
    for path in RESOLVERS:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for key, address, *_ in (words for line in lines if len(words := line.split()) > 1):
            try:
                if key == "nameserver":
                    yield IPv4Network(address)
            except ValueError:  # IPv6, or no address
                continue


def taken(engine: Engine, own: Container[str]) -> dict[IPv4Network, str]:
    """Return every network that the host or its engine uses, but the lab's own.

    The host's name servers are among them: most are reached by the default route alone, and a lab
    that took their network would leave the host without names.
    """
    subnets = {IPv4Network(subnet, strict=False): name for subnet, name in engine.subnets().items()}
    networks = {
        subnet: f"Docker network {name}" for subnet, name in subnets.items() if name not in own
    }
    for network, device in routes().items():
        if network not in subnets:  # an engine's network is a route, too
            networks[network] = f"the host's route by {device}"
    for server in name_servers():
        # One of a container in the lab's own network is the lab's.
        if not any(server.subnet_of(subnet) for subnet in subnets):
            networks.setdefault(server, "the host's name server")
    return networks


def check_subnets(topology: Topology, engine: Engine, there: Container[str]) -> None:
    """Raise InputError where a network that is not `there` yet cannot be made.

    Its name or its addresses are somebody else's; what is free is proposed.
    A management network that the file does not name is no reason: `settled` chooses it.
    """
    own, names = topology.network, (network_name(topology.name), management_name(topology.name))
    wanted = {names[0]: ("subnet", own.subnet), names[1]: ("management", own.management)}
    others = (name for name in engine.subnets().values() if name not in there)
    foreign = next((name for name in others if name in wanted), "")
    if foreign:
        raise InputError(
            f"a Docker network named {foreign} exists that is not lab {topology.name}'s",
            "start this lab under another name (--name)",
        )
    used = taken(engine, wanted)
    for name, (key, subnet) in wanted.items():
        if name in there or (key == "management" and own.management_open):
            continue
        for network, what in used.items():
            if network.overlaps(subnet):
                free = free_subnet(topology, used, subnet)
                also = ", which takes the addresses in it along" if key == "subnet" else ""
                raise InputError(
                    f"the lab's network.{key} {subnet} meets {network} ({what}); nothing was changed",
                    f"free is {free}: start it with --set network.{key}={free}{also}"
                    if free
                    else f"name a free one with --set network.{key}=…",
                )


def free_subnet(topology: Topology, used: Collection[IPv4Network], like: IPv4Network) -> str:
    """Return a network as large as `like` that meets nothing used and no range of the lab, or ""."""
    return free_network([*used, topology.network.subnet, *_ranges(topology)], like.prefixlen)


def free_for(topology: Topology, engine: Engine) -> str:
    """Return a subnet that another lab of this topology could have beside it."""
    return free_subnet(topology, taken(engine, ()), topology.network.subnet) or "…"


def free_network(used: Collection[IPv4Network], prefix: int) -> str:
    """Return a network of this prefix length that meets none of these; "" where there is none."""
    candidates = (net for block in BLOCKS for net in block.subnets(new_prefix=prefix))
    return next((str(net) for net in candidates if not any(net.overlaps(one) for one in used)), "")


def _ranges(topology: Topology) -> Iterator[IPv4Network]:
    """Yield what the file names beside the lab's subnet."""
    cluster = topology.kubernetes
    yield from (cluster.pod_cidr, cluster.service_cidr, *map(IPv4Network, cluster.dns_forward))
    if not topology.network.management_open:
        yield topology.network.management


def management(topology: Topology, used: Collection[IPv4Network]) -> IPv4Network:
    """Return the management network for a new lab: the file's, else one that meets nothing.

    Raise InputError where all are taken.
    """
    network = topology.network
    if not network.management_open:
        return network.management
    try:
        return management_of(network.subnet, *_ranges(topology), *used)
    except LookupError:
        hint = "name a free one with --set network.management=…, /16 to /26"
        raise InputError("no network is free for the baseboard controllers", hint) from None


def settled(
    topology: Topology, engine: Engine, observed: Observed, refused: Collection[IPv4Network] = ()
) -> Topology:
    """Return the topology with the management network that its lab has, or that a new one gets.

    What a lab has stands in its label; where it was only begun, in the engine's list of networks;
    where its networks were removed (`docker network prune` takes a stopped lab's), in its nodes.
    `refused` are those that the engine did not make, though they seemed free.
    """
    name = management_name(topology.name)
    if not topology.network.management_open:
        return topology
    if observed.topology:
        found = from_json(observed.topology).network.management
    elif name in observed.networks:
        subnets = {network: subnet for subnet, network in engine.subnets().items()}
        found = IPv4Network(subnets[name])
    else:
        had = _of_nodes(name, engine, observed)
        found = had or management(topology, [*taken(engine, ()), *refused])
    return replace(topology, network=replace(topology.network, management=found))


def _of_nodes(network: str, engine: Engine, observed: Observed) -> IPv4Network | None:
    """Return the network that a lab's containers were given addresses of; None where none was.

    One that halab chose itself is a /24 (`management_of`).
    """
    for container in observed.containers:
        there = engine.inspect(container.name)["NetworkSettings"]["Networks"].get(network) or {}
        if address := (there.get("IPAMConfig") or {}).get("IPv4Address"):
            return IPv4Network(f"{address}/24", strict=False)
    return None


def few_watches(nodes: int, root: Path = Path("/proc/sys/fs/inotify")) -> str:
    """Say that the kernel's inotify instances are too few for so many nodes, or nothing.

    Kubelets would fail late and oddly.
    """
    limit = root / "max_user_instances"
    if not limit.exists() or int(limit.read_text()) >= nodes * INSTANCES:
        return ""
    return f"fs.inotify.max_user_instances is {limit.read_text().strip()}, {nodes} nodes want {nodes * INSTANCES}: `sudo halab doctor --fix`"


def free_port(wanted: int) -> int:
    """Return the wanted port of 127.0.0.1, or the next free one above it; 0: any free one."""
    for port in range(wanted, min(wanted + PORT_TRIES, 65536)) if wanted else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise InputError(
        f"no free port on 127.0.0.1 from {wanted} on",
        "set loadbalancer.host_port to another one, or 0 for any",
    )


def port_for(topology: Topology, engine: Engine, observed: Observed) -> int:
    """Return the host's port for the load balancer: the one that it has, else a free one."""
    balancer = observed.container(topology.loadbalancer.name)
    if balancer is None:
        return free_port(topology.loadbalancer.host_port)
    if running := balancer.ports.get(KUBERNETES_PORT):
        return running
    bindings = engine.inspect(balancer.name)["HostConfig"].get("PortBindings") or {}
    ports = (int(row["HostPort"] or 0) for rows in bindings.values() for row in rows or [])
    return next(ports, 0) or free_port(topology.loadbalancer.host_port)
