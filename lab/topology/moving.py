"""`--set network.subnet=…` moves a lab: its file's addresses go along, host part by host part."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.base.yaml_files import Value


def subnet(root: Value) -> IPv4Network | None:
    """Return the subnet that stands in the tree; None where there is none, or no good one."""
    found = _at(root, "network", "subnet")
    try:
        return IPv4Network(found.data) if found and isinstance(found.data, str) else None
    except ValueError:
        return None


def follow(root: Value, before: IPv4Network | None) -> None:
    """Move the file's addresses from the subnet of `before` into the one that `--set` named.

    What `--set` named itself stays, and what has no place in the new subnet: the checks tell it.
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
