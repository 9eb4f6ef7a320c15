"""The model of a lab: what it should be, as frozen values that know neither Docker nor files.

Addresses are `ipaddress` objects, durations whole milliseconds (`…_ms`), everything else plain
values. The loader builds these from YAML and is the only place that validates them; the classes
only answer questions.
"""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, field, fields, replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

from lab.base.redaction import LEFT_OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

BMC = "bmc"
"""The name of the container with all nodes' baseboard controllers; no node may have it."""
IPMI_PORT = 6230
"""The first node's controller listens here, each further one on the next port: all of them share
one address, and IPMI's own port 623 would serve only one."""
POOL_PREFIX = 28
"""The size of the default pool for Services: the end of a /24, where nobody numbers nodes."""
KUBERNETES_PORT = 6443
"""Where every API server listens: the port of kubeadm, K3s and the reference installation."""


class Role(enum.StrEnum):
    """What a node is for.

    The file has only masters and workers: every lab has one `loadbalancer` and one `bmc`.
    """

    MASTER = "master"
    WORKER = "worker"
    LOADBALANCER = "loadbalancer"
    BMC = "bmc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder of the host that a node has at a path of its own."""

    folder: str
    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSize:
    """How much of the host a machine may use at most; 0: all of it."""

    millicpus: int = 0
    """Thousandths of a processor."""
    memory: int = 0
    """Bytes, a hard limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine. Its name is its hostname, its Corosync name and its Kubernetes name."""

    name: str
    role: Role
    ip: IPv4Address
    ports: tuple[tuple[int, int], ...] = ()
    """The host's ports on 127.0.0.1 (0: any free one), and the node's that they lead to."""
    mounts: tuple[Mount, ...] = ()
    size: MachineSize = MachineSize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The lab's two bridges: that of its machines, and that of its baseboard controllers."""

    subnet: IPv4Network
    vip: IPv4Address
    """The floating address of the API."""
    gateway: IPv4Address
    """The host's end of the bridge."""
    management: IPv4Network
    """The controllers' own, internal bridge: fencing must not share the cluster's network."""
    pool: IPv4Network | None = None
    """Where Services of type LoadBalancer get their addresses; None: the subnet's last /28."""
    management_open: bool = field(default=False, compare=False)
    """The file names no management network: `start` may choose another one, which the lab keeps.

    False for a topology that was read from a lab's label: there nothing is open."""
    subnet_open: bool = field(default=False, compare=False)
    """The same of the subnet; all addresses in it then move along."""


Pairs = tuple[tuple[str, str], ...]
"""Options in the file's order: name, value. One may be there several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """What the user adds to Kubernetes' command lines, and to K3s's configuration."""

    apiserver: Pairs = ()
    controller_manager: Pairs = ()
    scheduler: Pairs = ()
    kubelet: Pairs = ()
    k3s: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """How nodes reach an image registry: by which mirrors, as whom, trusting whose certificate."""

    host: str
    mirrors: tuple[str, ...] = ()
    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    """Certificates, as PEM."""
    insecure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """What all nodes agree on."""

    distributions: tuple[str, ...]
    """In order of preference."""
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    cluster_dns: IPv4Address
    dns_forward: tuple[IPv4Address, ...] = ()
    """Name servers for names outside the cluster; empty: those are not resolved."""
    node_monitor_grace_ms: int = 20_000
    """How long a silent node counts as ready."""
    version: str = ""
    """The user's choice of upstream's version; empty: halab's own."""
    k3s: str = ""
    """The user's choice of K3s' version; empty: halab's own."""
    args: Args = field(default_factory=Args)
    registries: tuple[Registry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HighAvailability:
    """Corosync and Pacemaker: when a master counts as lost, and what happens to it then."""

    token_ms: int = 1000
    """How long a master may be silent (corosync.conf(5), totem.token)."""
    fencing: bool = True
    """A lost master's power is cut before another one takes over its address."""
    reboot: bool = False
    """A fenced master is powered on again at once; otherwise it stays off for inspection."""

    @property
    def fenced(self) -> str:
        """What happens to a lost master, as the file spells it: one of FENCING."""
        if not self.fencing:
            return "none"
        return "reboot" if self.reboot else "off-stays"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancer:
    """The nginx node, and the port of the host's 127.0.0.1 that it is published on (0: any)."""

    ip: IPv4Address
    host_port: int = KUBERNETES_PORT
    name: str = "lb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The user's own files about images, absolute paths; empty: there are none."""

    k3s_binary: str = ""
    k3s_images: str = ""
    source: str = ""
    """Which images may be pulled, and from where; they are built otherwise."""


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
        """The masters in the file's order; K3s starts the first one alone."""
        return tuple(node for node in self.nodes if node.role is Role.MASTER)

    @property
    def workers(self) -> tuple[Node, ...]:
        """The workers in the file's order."""
        return tuple(node for node in self.nodes if node.role is Role.WORKER)

    @property
    def halves(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The masters' names as minority and majority, in the file's order.

        The minority is as many as may be lost.
        """
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
        """The baseboard controllers' container; it is only on the management network."""
        return Node(name=BMC, role=Role.BMC, ip=self.network.management[10])

    @property
    def containers(self) -> tuple[Node, ...]:
        """Everything that the engine runs for the lab: its machines and the BMC's container."""
        return (*self.machines, self.bmc)

    def management_ip(self, node: Node) -> IPv4Address | None:
        """Return a node's address on the management network, or None if it is not on it.

        The controllers' container is, and so are the masters, which fence each other.
        """
        if node.role is Role.BMC:
            return node.ip
        names = [master.name for master in self.masters]
        return self.network.management[11 + names.index(node.name)] if node.name in names else None

    def ipmi_port(self, name: str) -> int:
        """Return the UDP port of a node's baseboard controller. Raise ValueError if it has none."""
        return IPMI_PORT + [node.name for node in self.nodes].index(name)

    def node(self, name: str) -> Node:
        """Return the node of that name, the BMC's container included. Raise KeyError if none."""
        return {node.name: node for node in self.containers}[name]

    @property
    def service_addresses(self) -> tuple[IPv4Address, ...]:
        """The pool's free addresses, for Services of type LoadBalancer.

        Docker must not give them to containers: they are reserved in its network.
        """
        network = self.network
        pool = network.pool or pool_of(network.subnet)
        ends = {network.subnet.network_address, network.subnet.broadcast_address}
        used = {network.gateway, network.vip, *(node.ip for node in self.machines), *ends}
        return tuple(address for address in pool if address not in used)

    @property
    def api_names(self) -> tuple[str, ...]:
        """Every name and address by which the API is reached; its certificate has them all."""
        masters = [text for node in self.masters for text in (node.name, str(node.ip))]
        balancer = [self.loadbalancer.name, str(self.loadbalancer.ip)]
        service = str(self.kubernetes.service_cidr[1])
        return (*masters, str(self.network.vip), *balancer, "127.0.0.1", "localhost", service)


def pool_of(subnet: IPv4Network) -> IPv4Network:
    """Return the pool for Services that a file without one gets: the subnet's last /28.

    Of a /28 it is the last quarter: nodes and the instrument of a run need addresses, too.
    """
    prefix = POOL_PREFIX if subnet.prefixlen < POOL_PREFIX else POOL_PREFIX + 2
    return list(subnet.subnets(new_prefix=prefix))[-1]


def management_of(subnet: IPv4Network, *others: IPv4Network) -> IPv4Network:
    """Return a management network, a /24 that overlaps neither the lab's subnet nor `others`.

    The first choice is in 172.29.0.0/16 and numbered like the subnet, so that labs side by side
    seldom meet. Never in 172.31.0.0/16: that is AWS's default VPC. Raise LookupError if none of
    the candidates is free.
    """
    for candidate in _management_candidates(int(subnet.network_address) >> 8 & 0xFF):
        if not any(candidate.overlaps(other) for other in (subnet, *others)):
            return candidate
    raise LookupError("no network is free")


def _management_candidates(third: int) -> Iterator[IPv4Network]:
    """Yield the first choice, then /24s of each private block (RFC 1918)."""
    yield IPv4Network(f"172.29.{third}.0/24")
    for start in ("172.29", "172.28", "10.29", "192.168"):
        yield from (IPv4Network(f"{start}.{third}.0/24") for third in range(256))


def to_json(topology: Topology) -> str:
    """Return a topology as canonical JSON, the form kept in the label of the lab's network.

    Newer keys are left out while they have their defaults: a lab that an older halab made must
    compare equal.
    """
    data = asdict(topology)
    del data["network"]["management_open"], data["network"]["subnet_open"]
    kubernetes = data["kubernetes"]
    kubernetes["args"] = {name: given for name, given in kubernetes["args"].items() if given}
    _drop_empty(kubernetes, "version", "k3s", "args", "registries")
    _drop_empty(data["images"], "source")
    for node in data["nodes"]:
        node["size"] = {name: given for name, given in node["size"].items() if given}
        _drop_empty(node, "ports", "mounts", "size")
    if not topology.ha.reboot:
        del data["ha"]["reboot"]
    return json.dumps(data, default=str, sort_keys=True, separators=(",", ":"))


def _drop_empty(part: dict[str, Any], *keys: str) -> None:
    for key in keys:
        if not part[key]:
            del part[key]


def without_passwords(topology: Topology) -> Topology:
    """Return the topology as it may be shown: in an export, in a run's folder."""
    plain = tuple(
        replace(registry, password=LEFT_OUT) if registry.password else registry
        for registry in topology.kubernetes.registries
    )
    return replace(topology, kubernetes=replace(topology.kubernetes, registries=plain))


def known(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that a dataclass has fields for: a newer halab may have written more."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def from_json(text: str) -> Topology:
    """Return the topology that `to_json` wrote. Raise ValueError or LookupError for other text."""
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
            args=_args(kubernetes.get("args", {})),
            registries=tuple(_registry(row) for row in kubernetes.get("registries", [])),
        ),
        nodes=tuple(
            Node(
                name=n["name"],
                role=Role(n["role"]),
                ip=IPv4Address(n["ip"]),
                ports=tuple((host, inside) for host, inside in n.get("ports", [])),
                mounts=tuple(Mount(**known(Mount, row)) for row in n.get("mounts", [])),
                size=MachineSize(**known(MachineSize, n.get("size", {}))),
            )
            for n in data["nodes"]
        ),
        loadbalancer=LoadBalancer(
            ip=IPv4Address(balancer["ip"]), host_port=balancer["host_port"], name=balancer["name"]
        ),
        ha=HighAvailability(**known(HighAvailability, data["ha"])),
        addons=tuple(data["addons"]),
        images=Images(**known(Images, data["images"])),
    )


def _args(data: dict[str, list[list[str]]]) -> Args:
    rows = known(Args, data).items()
    return Args(**{name: tuple((option, value) for option, value in row) for name, row in rows})


def _registry(data: dict[str, Any]) -> Registry:
    own = known(Registry, data)
    return Registry(**{**own, "mirrors": tuple(own["mirrors"])})
