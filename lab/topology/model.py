"""The topology: what a lab should be. Inert, frozen, free of Docker and of files.

Addresses are `ipaddress` objects, durations whole milliseconds (`…_ms`), everything else plain
values. The loader builds these from YAML and is the only place that judges; the classes only answer
questions.
"""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, field, fields
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

BMC = "bmc"
"""The name of the container with all nodes' baseboard controllers; no node of a lab may have it."""
IPMI_PORT = 6230
"""The first node's controller listens here, each further one on the next port: IPMI's own 623 is
one for a whole address."""
POOL_PREFIX = 28
"""The size of the default pool for Services: fourteen addresses in a /24 that nobody numbers nodes
from."""
KUBERNETES_PORT = 6443
"""Where every API server listens: the port of kubeadm, K3s and the reference installation."""


class Role(enum.StrEnum):
    """What a node is for. `loadbalancer` and `bmc` are no roles of the file: every lab has one of each."""

    MASTER = "master"
    WORKER = "worker"
    LOADBALANCER = "loadbalancer"
    BMC = "bmc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine of the lab: its name is its hostname, its Corosync name and its Kubernetes name."""

    name: str
    role: Role
    ip: IPv4Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The lab's bridge: subnet, the floating address, and the gateway (the host's end of the bridge).

    `management` is a second, internal bridge for the baseboard controllers: fencing must not share the cluster's own network.
    With `management_open` the file names none: `start` may take another one, and the lab keeps it.
    `pool` is where Services of type LoadBalancer get their addresses; None: the subnet's last /28.
    """

    subnet: IPv4Network
    vip: IPv4Address
    gateway: IPv4Address
    management: IPv4Network
    pool: IPv4Network | None = None
    management_open: bool = field(default=False, compare=False)
    """About the file alone: what the lab has stands in its label, and there nothing is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """What all nodes agree on. `dns_forward` are the servers that names outside the cluster go to; empty: nowhere.

    `version` (upstream's) and `k3s` are the versions that the user wishes; empty: halab's own.
    """

    distributions: tuple[str, ...]
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    cluster_dns: IPv4Address
    dns_forward: tuple[IPv4Address, ...] = ()
    node_monitor_grace_ms: int = 20_000
    version: str = ""
    k3s: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HighAvailability:
    """Corosync's token time-out: how long a silent master is believed in (corosync.conf(5), totem.token).

    With `fencing`, a master that is lost has its power cut before another one takes its address.
    With `reboot` it is powered on again at once; else it stays down until somebody has looked.
    """

    token_ms: int = 1000
    fencing: bool = True
    reboot: bool = False

    @property
    def fenced(self) -> str:
        """What becomes of a lost master, in the file's word."""
        return ("reboot" if self.reboot else "off-stays") if self.fencing else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancer:
    """The nginx node and the port of the host's 127.0.0.1 it is published on."""

    ip: IPv4Address
    host_port: int = KUBERNETES_PORT
    name: str = "lb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Files of the user's that images are made with instead of downloads."""

    k3s_binary: str = ""
    k3s_images: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A whole lab."""

    name: str
    network: Network
    kubernetes: Kubernetes
    nodes: tuple[Node, ...]
    loadbalancer: LoadBalancer
    ha: HighAvailability = field(default_factory=HighAvailability)
    addons: tuple[str, ...] = ()
    images: Images = field(default_factory=Images)

    @property
    def masters(self) -> tuple[Node, ...]:
        """The masters in the file's order; the first is the one that K3s starts alone."""
        return tuple(node for node in self.nodes if node.role is Role.MASTER)

    @property
    def workers(self) -> tuple[Node, ...]:
        """The workers in the file's order."""
        return tuple(node for node in self.nodes if node.role is Role.WORKER)

    @property
    def halves(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The masters as minority and majority: the most that may be lost, from the file's beginning, and the rest."""
        names = [node.name for node in self.masters]
        few = (len(names) - 1) // 2
        return tuple(names[:few]), tuple(names[few:])

    @property
    def balancer(self) -> Node:
        """The load balancer as a node."""
        return Node(name=self.loadbalancer.name, role=Role.LOADBALANCER, ip=self.loadbalancer.ip)

    @property
    def machines(self) -> tuple[Node, ...]:
        """Every node that becomes a container: masters, workers, load balancer."""
        return (*self.nodes, self.balancer)

    @property
    def bmc(self) -> Node:
        """The baseboard controllers' container, on the management network alone."""
        return Node(name=BMC, role=Role.BMC, ip=self.network.management[10])

    @property
    def containers(self) -> tuple[Node, ...]:
        """Everything that the engine runs for the lab: the machines, and what switches their power."""
        return (*self.machines, self.bmc)

    def management_ip(self, node: Node) -> IPv4Address | None:
        """Return a node's address on the management network: the controllers' own and the masters', who fence each other. None: not on it."""
        if node.role is Role.BMC:
            return node.ip
        names = [master.name for master in self.masters]
        return self.network.management[11 + names.index(node.name)] if node.name in names else None

    def ipmi_port(self, name: str) -> int:
        """Return the port of a node's baseboard controller."""
        return IPMI_PORT + [node.name for node in self.nodes].index(name)

    def node(self, name: str) -> Node:
        """Return the node of that name. Raises KeyError where there is none."""
        return {node.name: node for node in self.containers}[name]

    @property
    def service_addresses(self) -> tuple[IPv4Address, ...]:
        """The addresses for Services of type LoadBalancer: those of the pool that nobody has.

        Docker is told to keep them, too.
        """
        network = self.network
        pool = network.pool or pool_of(network.subnet)
        ends = {network.subnet.network_address, network.subnet.broadcast_address}
        used = {network.gateway, network.vip, *(node.ip for node in self.machines), *ends}
        return tuple(address for address in pool if address not in used)

    @property
    def api_names(self) -> tuple[str, ...]:
        """Every name and address by which somebody reaches the API: all of them stand in its certificate."""
        masters = [text for node in self.masters for text in (node.name, str(node.ip))]
        balancer = [self.loadbalancer.name, str(self.loadbalancer.ip)]
        service = str(self.kubernetes.service_cidr[1])
        return (*masters, str(self.network.vip), *balancer, "127.0.0.1", "localhost", service)


def pool_of(subnet: IPv4Network) -> IPv4Network:
    """Return the pool for Services where the file names none: the subnet's last /28.

    Of a /28 the last quarter: nodes and the instrument of a run need addresses, too.
    """
    prefix = POOL_PREFIX if subnet.prefixlen < POOL_PREFIX else POOL_PREFIX + 2
    return list(subnet.subnets(new_prefix=prefix))[-1]


def management_of(subnet: IPv4Network, *others: IPv4Network) -> IPv4Network:
    """Return the management network for a lab's subnet where the file names none; it meets no other.

    In 172.29.0.0/16 and numbered as the lab's subnet is, so that labs side by side seldom meet.
    Not in 172.31.0.0/16: that is AWS's default VPC. Raise LookupError where all are taken.
    """
    third = int(subnet.network_address) >> 8 & 0xFF
    for found in (IPv4Network(f"172.29.{third}.0/24"), *_managements()):
        if not any(found.overlaps(other) for other in (subnet, *others)):
            return found
    raise LookupError("no network is free")


def _managements() -> Iterator[IPv4Network]:
    """Yield /24s of each private block (RFC 1918): no ranges of one lab cover all of them."""
    for start in ("172.29", "172.28", "10.29", "192.168"):
        yield from (IPv4Network(f"{start}.{third}.0/24") for third in range(256))


def to_json(topology: Topology) -> str:
    """Write a topology as canonical JSON, the form kept in the lab network's label."""
    data = asdict(topology)
    del data["network"]["management_open"]
    for key in ("version", "k3s"):  # a lab of an older halab, which had no such keys, is the same
        if not data["kubernetes"][key]:
            del data["kubernetes"][key]
    if not topology.ha.reboot:  # as before there was this choice: a lab made then is the same
        del data["ha"]["reboot"]
    return json.dumps(data, default=str, sort_keys=True, separators=(",", ":"))


def known(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that a dataclass has fields for: a newer halab may have written more."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def from_json(text: str) -> Topology:
    """Read what `to_json` wrote. Raises ValueError or KeyError on anything else."""
    data: dict[str, Any] = json.loads(text)
    network, kubernetes, balancer = data["network"], data["kubernetes"], data["loadbalancer"]
    return Topology(
        name=data["name"],
        network=Network(
            subnet=IPv4Network(network["subnet"]),
            vip=IPv4Address(network["vip"]),
            gateway=IPv4Address(network["gateway"]),
            management=IPv4Network(
                network.get("management") or management_of(IPv4Network(network["subnet"]))
            ),
            pool=IPv4Network(network["pool"]) if network.get("pool") else None,
        ),
        kubernetes=Kubernetes(
            distributions=tuple(kubernetes["distributions"]),
            pod_cidr=IPv4Network(kubernetes["pod_cidr"]),
            service_cidr=IPv4Network(kubernetes["service_cidr"]),
            cluster_dns=IPv4Address(kubernetes["cluster_dns"]),
            dns_forward=tuple(IPv4Address(server) for server in kubernetes["dns_forward"]),
            node_monitor_grace_ms=kubernetes["node_monitor_grace_ms"],
            version=kubernetes.get("version", ""),
            k3s=kubernetes.get("k3s", ""),
        ),
        nodes=tuple(
            Node(name=n["name"], role=Role(n["role"]), ip=IPv4Address(n["ip"]))
            for n in data["nodes"]
        ),
        loadbalancer=LoadBalancer(
            ip=IPv4Address(balancer["ip"]), host_port=balancer["host_port"], name=balancer["name"]
        ),
        ha=HighAvailability(**known(HighAvailability, data["ha"])),
        addons=tuple(data["addons"]),
        images=Images(**known(Images, data["images"])),
    )
