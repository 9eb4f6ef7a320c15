"""In which settings two topologies differ, each with the name that it has in a topology file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab.base import durations
from lab.topology.model import to_json, without_passwords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.topology.model import Topology

DURATIONS = {
    "ha.token_ms": "ha.token",
    "kubernetes.node_monitor_grace_ms": "kubernetes.node_monitor_grace",
}
"""What is kept in milliseconds → its key in the file."""
FENCING = "ha.fencing"
REBOOT = "ha.reboot"
ABSENT = "nothing"


def settings(before: Topology, after: Topology) -> tuple[str, ...]:
    """Return a line for each setting that differs, as `ha.token: 1s → 400ms`. Passwords are hidden.

    The order is the names' order. Where only a password differs, nothing does.
    """
    old, new = _flat(before), _flat(after)
    return tuple(
        f"{key}: {old.get(key, ABSENT)} → {new.get(key, ABSENT)}"
        for key in sorted({*old, *new})
        if old.get(key, ABSENT) != new.get(key, ABSENT)
    )


def _flat(topology: Topology) -> dict[str, str]:
    data = json.loads(to_json(without_passwords(topology)))
    data["nodes"] = {node["name"]: node for node in data["nodes"]}
    flat = dict(_leaves("", data))
    for key, name in DURATIONS.items():
        flat[name] = durations.spell(int(flat.pop(key)))
    flat.pop(REBOOT, None)
    flat[FENCING] = topology.ha.fenced
    return flat


def _leaves(key: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - as JSON has them
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(f"{key}.{name}".lstrip("."), item)
    elif isinstance(value, list):
        yield key, ", ".join(_item(item) for item in value) or ABSENT
    else:
        yield key, ABSENT if value in (None, "") else str(value)


def _item(value: Any) -> str:  # noqa: ANN401 - as JSON has them
    return value if isinstance(value, str) else json.dumps(value)
