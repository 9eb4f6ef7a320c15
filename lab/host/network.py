"""What a lab could collide with on the host: routes, networks, name servers, ports."""

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
from lab.topology.moving import moved

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterator

    from lab.engine.client import Engine
    from lab.engine.spec import Observed
    from lab.topology.model import Topology

BLOCKS = tuple(IPv4Network(text) for text in ("172.30.0.0/16", "172.28.0.0/16", "10.128.0.0/9"))
"""Where a free subnet is looked for: private, and seldom used by Docker's pools and home routers.

Not 172.31.0.0/16, AWS's default VPC, nor 172.29.0.0/16, which is for management networks.
"""
RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""The second is systemd-resolved's: then the first names only its stub (systemd-resolved(8))."""
PORT_TRIES = 100
INSTANCES = 25
"""inotify instances for one node: systemd, containerd, kubelet and its watchers use some twenty
(counted)."""


def routes() -> dict[IPv4Network, str]:
    """Return the host's IPv4 routes without the default one, network → device.

    Empty if the host is not Linux.
    """
    table = Path("/proc/net/route")
    if not table.exists():
        return {}
    devices = {}
    for line in table.read_text().splitlines()[1:]:
        device, target, _, _, _, _, _, mask = line.split()[:8]
        if mask != "00000000":
            devices[IPv4Network(f"{_address(target)}/{_address(mask)}")] = device
    return devices


def _address(digits: str) -> IPv4Address:
    """Return an address of the table: a hexadecimal number in the host's byte order (proc(5))."""
    return IPv4Address(struct.pack("=I", int(digits, 16)))


def name_servers() -> Iterator[IPv4Network]:
    """Yield the host's IPv4 name servers, each as a network of one address."""
    for path in RESOLVERS:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for key, address, *_ in (fields for line in lines if len(fields := line.split()) > 1):
            try:
                if key == "nameserver":
                    yield IPv4Network(address)
            except ValueError:  # IPv6, or no address
                continue


def taken(engine: Engine, own: Container[str]) -> dict[IPv4Network, str]:
    """Return the networks that the host or its engine uses, network → what it is, for messages.

    `own` are the names of the lab's networks, which are left out. The host's name servers are
    among the rest: most are reached only by the default route, and a lab that took their network
    would leave the host without names.
    """
    subnets = {IPv4Network(subnet, strict=False): name for subnet, name in engine.subnets().items()}
    networks = {
        subnet: f"Docker network {name}" for subnet, name in subnets.items() if name not in own
    }
    for network, device in routes().items():
        if network not in subnets:  # an engine's network is a route, too
            networks[network] = f"the host's route by {device}"
    for server in name_servers():
        # One inside an engine's network is a container: listed above, or the lab's own.
        if not any(server.subnet_of(subnet) for subnet in subnets):
            networks.setdefault(server, "the host's name server")
    return networks


def check_subnets(
    topology: Topology, engine: Engine, there: Container[str], fixed: str = ""
) -> None:
    """Raise InputError if one of the lab's networks cannot be made.

    `there` are the names of those that exist already. Another one cannot be made if somebody else
    uses its name or its addresses; the hint then proposes a free one. A network that the file
    leaves open is no reason: `settled` chooses another. `fixed` is the hint for a lab that cannot
    have another subnet.
    """
    own, names = topology.network, (network_name(topology.name), management_name(topology.name))
    networks = {names[0]: ("subnet", own.subnet), names[1]: ("management", own.management)}
    others = (name for name in engine.subnets().values() if name not in there)
    foreign = next((name for name in others if name in networks), "")
    if foreign:
        raise InputError(
            f"a Docker network named {foreign} exists that is not lab {topology.name}'s",
            "start this lab under another name (--name)",
        )
    used = taken(engine, networks)
    open_keys = {"management": own.management_open, "subnet": own.subnet_open}
    for name, (key, subnet) in networks.items():
        if name in there or open_keys[key]:
            continue
        for network, what in used.items():
            if network.overlaps(subnet):
                raise InputError(
                    f"the lab's network.{key} {subnet} meets {network} ({what}); "
                    "nothing was changed",
                    fixed or _another(key, free_subnet(topology, used, subnet)),
                )


def _another(key: str, free: str) -> str:
    """Return the hint that proposes a free network, if one was found."""
    if not free:
        return f"name a free one with --set network.{key}=…"
    also = ", which takes the addresses in it along" if key == "subnet" else ""
    return f"free is {free}: start it with --set network.{key}={free}{also}"


def free_subnet(topology: Topology, used: Collection[IPv4Network], like: IPv4Network) -> str:
    """Return a network as large as `like` that overlaps nothing used and no range of the lab.

    An empty text if there is none.
    """
    return free_network([*used, topology.network.subnet, *_ranges(topology)], like.prefixlen)


def free_for(topology: Topology, engine: Engine) -> str:
    """Return a subnet that a second lab of this topology could have, or … if none is free."""
    return free_subnet(topology, taken(engine, ()), topology.network.subnet) or "…"


def free_network(used: Collection[IPv4Network], prefix: int) -> str:
    """Return a network of this prefix length that overlaps none of `used`.

    An empty text if there is none.
    """
    candidates = (net for block in BLOCKS for net in block.subnets(new_prefix=prefix))
    return next((str(net) for net in candidates if not any(net.overlaps(one) for one in used)), "")


def _ranges(topology: Topology) -> Iterator[IPv4Network]:
    """Yield the networks that the file names besides the lab's subnet."""
    cluster = topology.kubernetes
    yield from (cluster.pod_cidr, cluster.service_cidr, *map(IPv4Network, cluster.dns_forward))
    if not topology.network.management_open:
        yield topology.network.management


def management(topology: Topology, used: Collection[IPv4Network]) -> IPv4Network:
    """Return the management network for a new lab: the file's, or else one that overlaps nothing.

    Raise InputError if none is free.
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
    """Return the topology with the networks that its lab has, or that a new one gets.

    Only those that the file leaves open. The lab's label says which ones it has. If the lab was
    only begun, the engine's list of networks does; if its networks were removed (`docker network
    prune` takes a stopped lab's), its nodes do.
    `refused` are networks that seemed free, but that the engine refused to make.
    """
    if topology.network.subnet_open:
        topology = _placed(topology, engine, observed, refused)
    name = management_name(topology.name)
    if not topology.network.management_open:
        return topology
    if observed.topology:
        chosen = from_json(observed.topology).network.management
    elif name in observed.networks:
        subnets = {network: subnet for subnet, network in engine.subnets().items()}
        chosen = IPv4Network(subnets[name])
    else:
        had = _of_nodes(name, engine, observed)
        chosen = had or management(topology, [*taken(engine, ()), *refused])
    return replace(topology, network=replace(topology.network, management=chosen))


def _placed(
    topology: Topology, engine: Engine, observed: Observed, refused: Collection[IPv4Network]
) -> Topology:
    """Return the topology in its lab's subnet, or for a new lab in the file's or a free one.

    One of another size is not its lab's: `start` then refuses. Raise InputError if none is free.
    """
    own = topology.network.subnet
    if observed.topology:
        subnet = from_json(observed.topology).network.subnet
    else:
        name = network_name(topology.name)
        had = _of_nodes(name, engine, observed, own.prefixlen)
        subnet = had or _free(topology, [*taken(engine, ()), *refused])
    return moved(topology, subnet) if subnet.prefixlen == own.prefixlen else topology


def _free(topology: Topology, used: Collection[IPv4Network]) -> IPv4Network:
    own = topology.network.subnet
    if not any(own.overlaps(other) for other in used):
        return own
    if free := free_subnet(topology, used, own):
        return IPv4Network(free)
    hint = "`halab destroy` a lab, or name a free one with --set network.subnet=…"
    raise InputError(f"no subnet is free for lab {topology.name}", hint)


def _of_nodes(
    network: str, engine: Engine, observed: Observed, prefix: int = 24
) -> IPv4Network | None:
    """Return the network that a lab's containers have addresses of; None if they have none.

    The management network is a /24: `management_of` chose it.
    """
    for container in observed.containers:
        there = engine.inspect(container.name)["NetworkSettings"]["Networks"].get(network) or {}
        if address := (there.get("IPAMConfig") or {}).get("IPv4Address"):
            return IPv4Network(f"{address}/{prefix}", strict=False)
    return None


def few_watches(nodes: int, root: Path = Path("/proc/sys/fs/inotify")) -> str:
    """Return a warning if the kernel has too few inotify instances for so many nodes; else empty.

    With too few, kubelets fail late and oddly.
    """
    limit = root / "max_user_instances"
    if not limit.exists() or int(limit.read_text()) >= nodes * INSTANCES:
        return ""
    return (
        f"fs.inotify.max_user_instances is {limit.read_text().strip()}, {nodes} nodes want "
        f"{nodes * INSTANCES}: `sudo halab doctor --fix`"
    )


def free_port(first: int) -> int:
    """Return a port of 127.0.0.1 that is free: `first`, or the next above it; 0: any.

    Raise InputError if there is none within PORT_TRIES.
    """
    for port in range(first, min(first + PORT_TRIES, 65536)) if first else (0,):
        if free := _bound(port):
            return free
    raise InputError(
        f"no free port on 127.0.0.1 from {first} on",
        "set loadbalancer.host_port to another one, or 0 for any",
    )


def check_ports(topology: Topology, observed: Observed) -> None:
    """Raise InputError for a port of 127.0.0.1 that a node to be made wants and others have.

    The load balancer takes the next one; who names a node's port means this one.
    """
    for node in topology.nodes:
        if observed.container(node.name) is not None:
            continue
        for port, _ in node.ports:
            if port and not _bound(port):
                raise InputError(
                    f"port {port} of 127.0.0.1, for node {node.name}, is taken",
                    f"set nodes.{node.name}.ports to another one, or to 0 for any",
                )


def _bound(port: int) -> int:
    """Return a port of 127.0.0.1 that could be had, for 0 any; 0 where it could not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


def port_for(topology: Topology, engine: Engine, observed: Observed) -> int:
    """Return the host's port for the load balancer: the one that it has, or else a free one."""
    balancer = observed.container(topology.loadbalancer.name)
    if balancer is None:
        return free_port(topology.loadbalancer.host_port)
    if running := balancer.ports.get(KUBERNETES_PORT):
        return running
    bindings = engine.inspect(balancer.name)["HostConfig"].get("PortBindings") or {}
    ports = (int(row["HostPort"] or 0) for rows in bindings.values() for row in rows or [])
    return next(ports, 0) or free_port(topology.loadbalancer.host_port)
