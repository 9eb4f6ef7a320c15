"""Read a topology file: turn it into a Topology, or refuse it with all its problems at once.

The order of work: text → Values (base/yaml_files) → single values (values) → Draft → how they fit
together (rules) → Topology.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lab.base import errors, names
from lab.base.errors import InputError, Problem, TopologyError
from lab.base.messages import shown
from lab.base.yaml_files import MAX_BYTES, Problems, Value, compose, override
from lab.topology import (
    kubernetes_args,
    machine_size,
    moving,
    node_extras,
    registries,
    releases,
    rules,
    values,
)
from lab.topology.known_names import ADDONS, DISTRIBUTIONS, FENCING, NO_FENCING, REBOOT
from lab.topology.model import (
    KUBERNETES_PORT,
    HighAvailability,
    Images,
    Kubernetes,
    LoadBalancer,
    Network,
    Node,
    Topology,
    management_of,
)
from lab.topology.rules import Draft, DraftNode
from lab.topology.scenario_file import Scenario
from lab.topology.scenario_file import read as read_scenario
from lab.topology.schema import KEYS
from lab.topology.values import ParsedValue

if TYPE_CHECKING:
    from lab.topology.values import Section

__all__ = ["Loaded", "load", "parse"]

T = TypeVar("T")

TOKEN_MS = (400, 30_000)
"""corosync 3.1.9 does not start below 400 ms: knet's pong time-out would be under 200 ms. Nobody
waits longer than 30 s."""
GRACE_MS = (10_000, 300_000)
"""Below 10 s a kubelet that reports every 10 s (nodeStatusUpdateFrequency) would be taken for dead.
Nobody watches a lab for longer than 5 min."""
PORTS = (1024, 65_535)
"""Ports below 1024 need privilege (ip_unprivileged_port_start). 0 means any free one."""
SUBNET_PREFIX = (16, 28)
"""A /28 has thirteen addresses besides the gateway; Docker takes a /16 for a network by default."""
MANAGEMENT_PREFIX = (16, 26)
"""A /26 has room for the controllers (.10) and the masters (.11 to .19)."""
POOL_PREFIX = (24, 31)
"""At most 256 addresses: Docker is told of each of them."""
SERVICE_PREFIX = (12, 24)
"""kube-apiserver refuses ranges of more than 20 bits. In one smaller than a /24 the static band has
little room for other services."""
POD_PREFIX = (8, 24)
"""kube-controller-manager refuses more than 16 bits between the pod network and a node's /24."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid topology, its scenarios, and warnings: what is allowed but probably not meant."""

    topology: Topology
    warnings: tuple[Problem, ...] = ()
    scenarios: tuple[Scenario, ...] = ()


def load(path: Path, overrides: tuple[str, ...] = (), name: str = "") -> Loaded:
    """Read a topology file. `overrides` are `key.path=value` settings, `name` renames the lab.

    Raise InputError if it cannot be read, TopologyError with all its problems.
    """
    missing = "`halab init` writes one, `halab start 3m3w` uses a shipped one"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: there is no such file", missing) from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a topology file", missing) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{shown(str(path))} cannot be read: {reason}", "check its name and permissions"
        ) from None
    if len(raw) > MAX_BYTES:
        raise TopologyError(
            str(path),
            (Problem(0, "the file is larger than 64 KiB", "a topology has a few kilobytes"),),
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TopologyError(
            str(path), (Problem(line, "not UTF-8 text", "save the file as UTF-8"),)
        ) from None
    return parse(text, str(path), overrides, name)


def parse(
    text: str, path: str, overrides: tuple[str, ...] = (), name: str = "", base: Path | None = None
) -> Loaded:
    """Parse a topology's text, as `load` does.

    `path` names it in messages. Relative paths in it start from `base`, by default the folder of
    `path`. Raise TopologyError with all its problems.
    """
    problems, warnings = Problems(), Problems()
    root = compose(text, path, problems)
    if not isinstance(root.data, dict):
        problem = Problem(
            root.line, "the file must have keys with values", f"the keys are {', '.join(KEYS[''])}"
        )
        raise TopologyError(path, (problem,))
    before = moving.subnet(root)
    for setting in overrides:
        override(root, setting, problems)
    subnet_open = moving.leave_open(root, before, problems)
    moving.follow(root, before)
    if name:
        root.data["name"] = Value(name, 0, "--name", quoted=True)
    draft = _draft(root, base or Path(path).parent, problems)
    draft.subnet_open = subnet_open
    own = _scenarios(root.data.get("scenarios"), path, problems)
    rules.check(draft, problems, warnings)
    problems.raise_any(path)
    return Loaded(_topology(draft), tuple(sorted(warnings.noted)), own)


def _scenarios(value: Value | None, path: str, problems: Problems) -> tuple[Scenario, ...]:
    if value is None:
        return ()
    if not isinstance(value.data, list):
        problems.add(
            value, "`scenarios` must be a list", "`halab scenario show crash-vip-holder` shows one"
        )
        return ()
    scenarios: dict[str, Scenario] = {}
    for item in value.data:
        scenario = read_scenario(item, problems, path)
        if scenario.name in scenarios:
            problems.add(
                item,
                f"a scenario `{scenario.name}` stands here a second time",
                "give it another name",
            )
        scenarios[scenario.name] = scenario
    return tuple(scenarios.values())


def _draft(root: Value, base: Path, problems: Problems) -> Draft:
    top = values.open_section(root, "", KEYS[""], root, problems)
    sections = ("network", "kubernetes", "ha", "loadbalancer", "images")
    network, kubernetes, ha, balancer, images = (_section(top, key) for key in sections)
    roles = machine_size.read_roles(_section(top, "roles"))
    top.find("version", values.integer(1, 1))
    subnet = network.find("subnet", values.network(*SUBNET_PREFIX))
    pods = kubernetes.find("pod_cidr", values.network(*POD_PREFIX), IPv4Network("10.42.0.0/16"))
    services = kubernetes.find(
        "service_cidr", values.network(*SERVICE_PREFIX), IPv4Network("10.43.0.0/16")
    )
    return Draft(
        name=top.find("name", values.label),
        subnet=subnet,
        vip=network.find("vip", values.address),
        gateway=network.find("gateway", values.address, subnet.value[1] if subnet else None),
        pool=network.find("pool", values.network(*POOL_PREFIX), None),
        management=_management(network, subnet, pods, services),
        distributions=_distributions(kubernetes),
        version=kubernetes.find("version", releases.release("upstream"), ""),
        k3s=kubernetes.find("k3s", releases.release("k3s"), ""),
        pods=pods,
        services=services,
        dns=kubernetes.find("cluster_dns", values.address, IPv4Address("10.43.0.99")),
        forward=kubernetes.find_all("dns_forward", values.address, ()),
        grace=kubernetes.find(
            "node_monitor_grace", values.duration(*GRACE_MS, "kubelets report every 10s"), 20_000
        ),
        args=ParsedValue(kubernetes_args.read(kubernetes), kubernetes.items.get("args", root)),
        registries=registries.read(kubernetes, base),
        nodes_at=top.items.get("nodes", root),
        nodes=_nodes(top, base),
        roles=roles,
        token=ha.find(
            "token", values.duration(*TOKEN_MS, "corosync does not start below 400ms"), 1000
        ),
        fencing=ha.find("fencing", values.fencing, FENCING[0]),
        balancer_name=balancer.find("name", values.node_name, "lb"),
        balancer_ip=balancer.find("ip", values.address),
        host_port=balancer.find("host_port", values.integer(*PORTS, also=(0,)), KUBERNETES_PORT),
        addons=top.find_all("addons", values.one_of(ADDONS), ("dns-ha",)),
        k3s_binary=images.find("k3s_binary", values.file(base), ""),
        k3s_images=images.find("k3s_images", values.file(base), ""),
        image_source=images.find("source", values.file(base), ""),
    )


def _management(
    network: Section,
    subnet: ParsedValue[IPv4Network] | None,
    *others: ParsedValue[IPv4Network] | None,
) -> ParsedValue[IPv4Network] | None:
    """Read the management network. If the file names none, choose one that meets no other range.

    Three ranges can cover all of the private space that it is chosen from. Then it has to be set.
    """
    default = None
    if subnet and "management" not in network.items:
        ranges = [other.value for other in others if other]
        try:
            default = management_of(subnet.value, *ranges)
        except LookupError:
            network.problems.add(
                network.at,
                "no network is free for the baseboard controllers beside "
                + ", ".join(map(str, [subnet.value, *ranges])),
                "set `network.management` to a private network, /16 to /26, that meets none of "
                "these, or make them smaller",
            )
    return network.find("management", values.network(*MANAGEMENT_PREFIX), default)


def _section(top: Section, key: str) -> Section:
    return values.open_section(top.items.get(key), key, KEYS[key], top.at, top.problems)


def _distributions(kubernetes: Section) -> ParsedValue[tuple[str, ...]] | None:
    listed = kubernetes.find_all("distributions", values.one_of(DISTRIBUTIONS), DISTRIBUTIONS)
    if listed and not listed.value:
        kubernetes.problems.add(
            listed.at, "`kubernetes.distributions` is empty", f"known: {', '.join(DISTRIBUTIONS)}"
        )
    return listed


def _nodes(top: Section, base: Path) -> list[DraftNode]:
    at = top.items.get("nodes")
    if at is None:
        return []
    if not isinstance(at.data, dict) or not at.data:
        top.problems.add(
            at,
            "`nodes` must have a key for each node",
            "for example m: {role: master, ip: 172.30.0.49}",
        )
        return []
    return [_node(name, item, top, base) for name, item in at.data.items()]


def _node(name: str, item: Value, top: Section, base: Path) -> DraftNode:
    try:
        names.check_node_name(name)
    except errors.WrongError as wrong:
        top.problems.add(item, f"the node's name {wrong.message}", wrong.hint)
    section = values.open_section(item, f"nodes.{name}", KEYS["nodes.*"], item, top.problems)
    return DraftNode(
        name=name,
        at=item,
        role=section.find("role", values.role),
        ip=section.find("ip", values.address),
        ports=node_extras.read_ports(section),
        mounts=node_extras.read_mounts(section, base),
        size=machine_size.read(section),
    )


def _sure(entry: ParsedValue[T] | None) -> T:
    if entry is None:
        raise RuntimeError("a bug: a value was neither read nor refused")
    return entry.value


def _wished(draft: Draft) -> tuple[str, ...]:
    """Return the listed distributions whose version the file names, or the whole list if none.

    A user who names v1.35.4 does not want K3s in its own version instead.
    """
    listed = _sure(draft.distributions)
    return tuple(name for name in listed if draft.wish(name)) or listed


def _topology(draft: Draft) -> Topology:
    return Topology(
        name=_sure(draft.name),
        network=Network(
            subnet=_sure(draft.subnet),
            vip=_sure(draft.vip),
            gateway=_sure(draft.gateway),
            management=_sure(draft.management),
            pool=draft.pool.value if draft.pool else None,
            management_open=not (draft.management and draft.management.given),
            subnet_open=draft.subnet_open,
        ),
        kubernetes=Kubernetes(
            distributions=_wished(draft),
            version=_sure(draft.version),
            k3s=_sure(draft.k3s),
            pod_cidr=_sure(draft.pods),
            service_cidr=_sure(draft.services),
            cluster_dns=_sure(draft.dns),
            dns_forward=_sure(draft.forward),
            node_monitor_grace_ms=_sure(draft.grace),
            args=draft.args.value,
            registries=draft.registries,
        ),
        nodes=tuple(
            Node(
                name=node.name,
                role=_sure(node.role),
                ip=_sure(node.ip),
                ports=node.ports,
                mounts=node.mounts,
                size=machine_size.of_node(node.size, _sure(node.role), draft.roles),
            )
            for node in draft.nodes
        ),
        loadbalancer=LoadBalancer(
            ip=_sure(draft.balancer_ip),
            host_port=_sure(draft.host_port),
            name=_sure(draft.balancer_name),
        ),
        ha=HighAvailability(
            token_ms=_sure(draft.token),
            fencing=_sure(draft.fencing) != NO_FENCING,
            reboot=_sure(draft.fencing) == REBOOT,
        ),
        addons=_sure(draft.addons),
        images=Images(
            k3s_binary=_sure(draft.k3s_binary),
            k3s_images=_sure(draft.k3s_images),
            source=_sure(draft.image_source),
        ),
    )
