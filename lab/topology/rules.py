"""The rules across keys of a topology file: which values must fit together.

Everything that is wrong is noted as a problem or a warning. Nothing is raised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from lab.topology import machine_size, node_extras
from lab.topology.model import BMC, MachineSize, Role, pool_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.base.yaml_files import Problems, Value
    from lab.topology.model import Args, Mount, Registry
    from lab.topology.values import ParsedValue

PRIVATE = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
"""RFC 1918, section 3."""
MAX_MASTERS = 9
"""etcd's FAQ advises at most seven members. Nine is for those who want to see why."""
MAX_NODES = 50
"""Each node runs systemd and a kubelet: about half a gigabyte of the host's memory."""
POD_PREFIX = 24
"""kube-controller-manager gives each node a /24 of the pod network (--node-cidr-mask-size)."""


@dataclass(slots=True, kw_only=True)
class DraftNode:
    """A node as far as it could be read; None: missing, or wrong and already noted."""

    name: str
    at: Value
    role: ParsedValue[Role] | None
    ip: ParsedValue[IPv4Address] | None
    ports: tuple[tuple[int, int], ...] = ()
    mounts: tuple[Mount, ...] = ()
    size: MachineSize = field(default_factory=MachineSize)
    """What the node itself says."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """The file as far as it could be read; None: missing, or wrong and already noted."""

    name: ParsedValue[str] | None
    subnet: ParsedValue[IPv4Network] | None
    subnet_open: bool = False
    vip: ParsedValue[IPv4Address] | None
    gateway: ParsedValue[IPv4Address] | None
    management: ParsedValue[IPv4Network] | None
    pool: ParsedValue[IPv4Network | None] | None
    distributions: ParsedValue[tuple[str, ...]] | None
    version: ParsedValue[str] | None
    k3s: ParsedValue[str] | None
    pods: ParsedValue[IPv4Network] | None
    services: ParsedValue[IPv4Network] | None
    dns: ParsedValue[IPv4Address] | None
    forward: ParsedValue[tuple[IPv4Address, ...]] | None
    grace: ParsedValue[int] | None
    args: ParsedValue[Args]
    registries: tuple[Registry, ...]
    nodes_at: Value
    nodes: list[DraftNode] = field(default_factory=list)
    roles: dict[Role, MachineSize] = field(default_factory=dict)
    token: ParsedValue[int] | None
    fencing: ParsedValue[str] | None
    balancer_name: ParsedValue[str] | None
    balancer_ip: ParsedValue[IPv4Address] | None
    host_port: ParsedValue[int] | None
    addons: ParsedValue[tuple[str, ...]] | None
    k3s_binary: ParsedValue[str] | None
    k3s_images: ParsedValue[str] | None
    image_source: ParsedValue[str] | None

    def wish(self, distribution: str) -> str:
        """Return the version that the file names for a distribution; empty if it names none."""
        version = {"upstream": self.version, "k3s": self.k3s}[distribution]
        return version.value if version else ""

    def addresses(self) -> Iterator[tuple[str, ParsedValue[IPv4Address]]]:
        """Yield (key, address) for every address of the subnet: nodes first, in file order."""
        named = [(f"nodes.{node.name}.ip", node.ip) for node in self.nodes]
        named += [("network.vip", self.vip), ("loadbalancer.ip", self.balancer_ip)]
        yield from ((name, ip) for name, ip in named if ip)


def check(draft: Draft, problems: Problems, warnings: Problems) -> None:
    """Note what does not fit together in a file, as problems or as warnings."""
    _subnet(draft, problems)
    _pool(draft, problems)
    _instrument(draft, warnings)
    _addresses(draft, problems)
    _ranges(draft, problems)
    _pod_range(draft, problems)
    _dns(draft, problems, warnings)
    _names(draft, problems)
    _counts(draft, problems, warnings)
    _versions(draft, warnings)
    rows = ((f"nodes.{node.name}.ports", node.at, node.ports) for node in draft.nodes)
    node_extras.check(rows, draft.host_port.value if draft.host_port else 0, problems)
    for node in draft.nodes:
        machine_size.check(node.role, node.name, node.size, draft.roles, warnings)


def _versions(draft: Draft, warnings: Problems) -> None:
    """Warn of a version for a distribution that is not in the list: it has no effect."""
    if draft.distributions is None:
        return
    for key, name, version in (("version", "upstream", draft.version), ("k3s", "k3s", draft.k3s)):
        if version and version.value and name not in draft.distributions.value:
            message = f"`kubernetes.{key}` {version.value} is not used"
            hint = f"`kubernetes.distributions` does not have {name}"
            warnings.add(version.at, message, hint)
    if draft.args.value.k3s and "k3s" not in draft.distributions.value:
        hint = "`kubernetes.distributions` does not have k3s"
        warnings.add(draft.args.at, "`kubernetes.args.k3s` is not used", hint)


def _subnet(draft: Draft, problems: Problems) -> None:
    for name, subnet in (
        ("network.subnet", draft.subnet),
        ("network.management", draft.management),
    ):
        if subnet and not any(subnet.value.subnet_of(private) for private in PRIVATE):
            inside = ", ".join(str(private) for private in PRIVATE)
            problems.add(
                subnet.at,
                f"`{name}` {subnet.value} is not private",
                f"take one inside {inside} (RFC 1918)",
            )


def _pool(draft: Draft, problems: Problems) -> None:
    """Refuse a pool for Services outside the subnet, or without a free address."""
    if draft.subnet is None or draft.pool is None or draft.pool.value is None:
        return
    subnet, pool = draft.subnet.value, draft.pool.value
    used = {ip.value for _, ip in draft.addresses()} | (
        {draft.gateway.value} if draft.gateway else set()
    )
    if not pool.subnet_of(subnet):
        message = f"`network.pool` {pool} is outside {_subnet_name(draft.subnet)}"
        problems.add(draft.pool.at, message, f"for example {pool_of(subnet)}")
    elif not [
        ip for ip in pool if ip not in used | {subnet.network_address, subnet.broadcast_address}
    ]:
        problems.add(
            draft.pool.at,
            f"`network.pool` {pool} has no address that is free",
            "take a larger one, or another one",
        )


def _instrument(draft: Draft, warnings: Problems) -> None:
    """Warn if no address is left for a run's instrument; the pool's are reserved."""
    if draft.subnet is None or draft.gateway is None or draft.pool is None:
        return
    subnet = draft.subnet.value
    pool = draft.pool.value or pool_of(subnet)
    used = {ip.value for _, ip in draft.addresses()} | {draft.gateway.value}
    if all(ip in used or ip in pool for ip in subnet.hosts()):
        message = f"{_subnet_name(draft.subnet)} has no address for the instrument of a run"
        hint = "`halab scenario run` needs one: take a larger subnet, or a smaller pool"
        warnings.add(draft.subnet.at, message, hint)


def _addresses(draft: Draft, problems: Problems) -> None:
    if draft.subnet is None:
        return
    subnet, taken = draft.subnet.value, dict[IPv4Address, str]()
    gateway = draft.gateway if draft.gateway and draft.gateway.value in subnet else None
    if draft.gateway:
        _inside(draft, "network.gateway", draft.gateway, problems)
    for name, ip in draft.addresses():
        if not _inside(draft, name, ip, problems):
            continue
        if gateway and ip.value == gateway.value:
            problems.add(
                ip.at,
                f"`{name}` {ip.value} is the gateway, the host's end of the network",
                f"take {_free(draft)}",
            )
        elif ip.value in taken:
            problems.add(
                ip.at, f"`{name}` {ip.value} is also `{taken[ip.value]}`", f"take {_free(draft)}"
            )
        else:
            taken[ip.value] = name


def _inside(draft: Draft, name: str, ip: ParsedValue[IPv4Address], problems: Problems) -> bool:
    if draft.subnet is None:
        return False
    subnet = draft.subnet.value
    if ip.value not in subnet:
        problems.add(
            ip.at,
            f"`{name}` {ip.value} is outside {_subnet_name(draft.subnet)}",
            f"for example {_free(draft)}",
        )
    elif ip.value in {subnet.network_address, subnet.broadcast_address}:
        kind = "network" if ip.value == subnet.network_address else "broadcast"
        problems.add(
            ip.at,
            f"`{name}` {ip.value} is the {kind} address of {subnet}",
            f"for example {_free(draft)}",
        )
    else:
        return True
    return False


def _subnet_name(subnet: ParsedValue[IPv4Network]) -> str:
    return f"`network.subnet` {subnet.value}" + (
        f" of {subnet.at.origin}" if subnet.at.origin else ""
    )


def _free(draft: Draft) -> str:
    used = {ip.value for _, ip in draft.addresses()} | (
        {draft.gateway.value} if draft.gateway else set()
    )
    hosts = draft.subnet.value.hosts() if draft.subnet else iter(())
    return next(
        (str(host) for host in hosts if host not in used), "a larger subnet: this one is full"
    )


def _ranges(draft: Draft, problems: Problems) -> None:
    """Refuse ranges that overlap: a packet would have two ways to go."""
    named = (
        ("network.subnet", draft.subnet),
        ("network.management", draft.management),
        ("kubernetes.pod_cidr", draft.pods),
        ("kubernetes.service_cidr", draft.services),
    )
    ranges = [(name, entry) for name, entry in named if entry]
    for index, (name, one) in enumerate(ranges):
        for other_name, other in ranges[index + 1 :]:
            if one.value.overlaps(other.value):
                # Reported at the later key, unless that is a default, or only the earlier one came
                # from `--set`.
                here = one if not other.given or (one.at.origin and not other.at.origin) else other
                message = f"`{other_name}` {other.value} overlaps `{name}` {one.value}"
                problems.add(here.at, message, "choose ranges that share no address")


def _pod_range(draft: Draft, problems: Problems) -> None:
    if draft.pods is None:
        return
    room = 2 ** (POD_PREFIX - draft.pods.value.prefixlen)
    if room < len(draft.nodes):
        problems.add(
            draft.pods.at,
            f"`kubernetes.pod_cidr` {draft.pods.value} has a /{POD_PREFIX} for {room} of "
            f"{len(draft.nodes)} nodes",
            f"take /{POD_PREFIX - (len(draft.nodes) - 1).bit_length()} or wider",
        )


def static_band(services: IPv4Network) -> int:
    """Return the last offset in the service network that Kubernetes does not hand out by itself.

    Source: Kubernetes' page "Service ClusterIP allocation".
    """
    return min(max(16, services.num_addresses // 16), 256)


def _dns(draft: Draft, problems: Problems, warnings: Problems) -> None:
    services, dns, forward = draft.services, draft.dns, draft.forward
    if dns and forward and dns.value in forward.value:
        hint = "name servers outside of the cluster"
        problems.add(
            forward.at,
            f"`kubernetes.dns_forward` has the cluster's own DNS {dns.value}: a loop",
            hint,
        )
    if services is None or dns is None:
        return
    at, example = dns.at if dns.given else services.at, services.value[10]
    message = f"`kubernetes.cluster_dns` {dns.value}" + ("" if dns.given else " (the default)")
    offset, band = int(dns.value) - int(services.value[0]), static_band(services.value)
    if dns.value not in services.value:
        problems.add(
            at,
            f"{message} is outside `kubernetes.service_cidr` {services.value}",
            f"set cluster_dns, for example to {example}",
        )
    elif offset == 1:
        problems.add(
            at,
            f"{message} is the address of the service `kubernetes`: the first of {services.value}",
            f"for example {example}",
        )
    elif dns.value in {services.value[0], services.value[-1]}:
        problems.add(
            at,
            f"{message} is the first or last of {services.value}, which is never given out",
            f"for example {example}",
        )
    elif offset > band:
        hint = f"{services.value[2]} to {services.value[band]} are safe"
        warnings.add(
            at, f"{message} is one that Kubernetes may give to another service first", hint
        )


def _names(draft: Draft, problems: Problems) -> None:
    """Refuse a name that two containers of the lab would have: nodes, load balancer, BMC."""
    balancer = draft.balancer_name
    reserved = f"`{BMC}` is the name of the lab's baseboard controllers"
    for node in draft.nodes:
        if balancer and node.name == balancer.value:
            here = balancer.at if balancer.at.origin else node.at
            problems.add(
                here,
                f"node `{node.name}` has the load balancer's name",
                "rename it, or set `loadbalancer.name`",
            )
        if node.name == BMC:
            problems.add(node.at, reserved, "rename the node")
    if balancer and balancer.value == BMC:
        problems.add(balancer.at, reserved, "rename the load balancer")


def _counts(draft: Draft, problems: Problems, warnings: Problems) -> None:
    """Limit the nodes and masters. Having no master is wrong only if all roles could be read."""
    at = draft.nodes_at
    roles = [node.role.value for node in draft.nodes if node.role]
    masters = roles.count(Role.MASTER)
    if len(draft.nodes) > MAX_NODES:
        problems.add(at, f"`nodes` has {len(draft.nodes)} nodes", f"at most {MAX_NODES}")
    if masters > MAX_MASTERS:
        problems.add(
            at,
            f"`nodes` has {masters} masters",
            f"at most {MAX_MASTERS}: every write waits for more than half of them",
        )
    elif roles and len(roles) == len(draft.nodes) and masters == 0:
        problems.add(at, "`nodes` has no master", "give at least one node `role: master`")
    elif masters and masters % 2 == 0:
        hint = f"{masters - 1} masters survive as many losses, {masters + 1} one more (etcd's FAQ)"
        warnings.add(at, f"`nodes` has {masters} masters, an even number", hint)
