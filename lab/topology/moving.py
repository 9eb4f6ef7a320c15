"""`--set network.subnet=…` moves a lab: its other addresses keep their host parts."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from lab.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.base.yaml_files import Problems, Value
    from lab.topology.model import Topology

AUTO = "auto"
"""The value by which `start` may choose the subnet: the file's if that is free, else another."""


def subnet(root: Value) -> IPv4Network | None:
    """Return the subnet in the tree, or None if it is missing or not valid."""
    value = _at(root, "network", "subnet")
    try:
        return IPv4Network(value.data) if value and isinstance(value.data, str) else None
    except ValueError:
        return None


def leave_open(root: Value, before: IPv4Network | None, problems: Problems) -> bool:
    """Whether `--set network.subnet=auto` leaves the choice to `start`.

    Then the file's subnet stands in the tree again: its addresses are judged by that.
    """
    value = _at(root, "network", "subnet")
    if value is None or value.data != AUTO:
        return False
    if before is None:
        message = f"`network.subnet` is `{AUTO}`, but the other addresses need a network to be in"
        problems.add(value, message, f"name one, and start with --set network.subnet={AUTO}")
        return False
    value.data = str(before)
    return True


def follow(root: Value, before: IPv4Network | None) -> None:
    """Move the file's addresses from the subnet `before` into the one that `--set` named.

    Addresses that `--set` named stay. So do those that do not fit into the new subnet: the rules
    report them.
    """
    named, after = _at(root, "network", "subnet"), subnet(root)
    if before is None or after is None or not named or not named.origin or after == before:
        return
    for value in _addresses(root):
        if value and not value.origin and isinstance(value.data, str):
            moved = _moved(value.data, before, after)
            if moved:
                value.data, value.origin = moved, named.origin


def _moved(text: str, before: IPv4Network, after: IPv4Network) -> str:
    address, slash, prefix = text.partition("/")
    try:
        offset = int(IPv4Address(address)) - int(before.network_address)
    except ValueError:
        return ""
    if not 0 <= offset < min(before.num_addresses, after.num_addresses):
        return ""
    return f"{after.network_address + offset}{slash}{prefix}"


def moved(topology: Topology, after: IPv4Network) -> Topology:
    """Return a topology with all its addresses in another subnet.

    Raises InputError if they do not fit into it, or if it meets the cluster's own networks.
    """
    network, cluster = topology.network, topology.kubernetes
    for key, other in (("pod_cidr", cluster.pod_cidr), ("service_cidr", cluster.service_cidr)):
        if after.overlaps(other):
            raise InputError(f"network.subnet {after} meets the cluster's {key} {other}")

    def move(text: object) -> str:
        new = _moved(str(text), network.subnet, after)
        if not new:
            raise InputError(
                f"network.subnet {after} has no room for {text} of {network.subnet}",
                f"take one as large as that: a /{network.subnet.prefixlen}",
            )
        return new

    def place(address: IPv4Address) -> IPv4Address:
        return IPv4Address(move(address))

    balancer = topology.loadbalancer
    return replace(
        topology,
        network=replace(
            network,
            subnet=after,
            vip=place(network.vip),
            gateway=place(network.gateway),
            pool=IPv4Network(move(network.pool)) if network.pool else None,
        ),
        nodes=tuple(replace(node, ip=place(node.ip)) for node in topology.nodes),
        loadbalancer=replace(balancer, ip=place(balancer.ip)),
    )


def _addresses(root: Value) -> Iterator[Value | None]:
    yield from (_at(root, "network", key) for key in ("vip", "gateway", "pool"))
    yield _at(root, "loadbalancer", "ip")
    nodes = _at(root, "nodes")
    for name in nodes.data if nodes and isinstance(nodes.data, dict) else ():
        yield _at(root, "nodes", name, "ip")


def _at(root: Value, *path: str) -> Value | None:
    place: Value | None = root
    for key in path:
        place = place.data.get(key) if place and isinstance(place.data, dict) else None
    return place
