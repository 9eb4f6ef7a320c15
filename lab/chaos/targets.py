"""Targets: names of nodes and selectors of nodes, resolved when a fault fires."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from lab.base.errors import InputError
from lab.base.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.live.status import LabStatus
    from lab.topology.model import Topology

SELECTORS = (
    "@leader",
    "@vip-holder",
    "@first-master",
    "@random-master",
    "@random-worker",
    "minority",
    "majority",
)
HELP = (
    "a node's name, "
    + ", ".join(SELECTORS)
    + ", role:master, role:worker, role:loadbalancer, all; several by commas"
)


def resolve(
    listed: str, topology: Topology, status: Callable[[], LabStatus], seed: int
) -> tuple[str, ...]:
    """Return the nodes that a comma-separated list of targets means now, each once.

    See `resolve_one`.
    """
    resolved = (resolve_one(target, topology, status, seed) for target in listed.split(","))
    return tuple(dict.fromkeys(name for names in resolved for name in names))


def resolve_one(
    target: str, topology: Topology, status: Callable[[], LabStatus], seed: int
) -> tuple[str, ...]:
    """Return the nodes that a target means now.

    `seed` decides the random ones: the same seed, the same node. The minority are the first masters
    of the file, the majority all others.

    Raises InputError for an unknown target, or one that means no node now.
    """
    check(target, topology)
    if target in _names(topology):
        return (target,)
    fixed = _fixed(topology)
    if target in fixed:
        return _some(target, fixed[target])
    random_of = {"@random-worker": "role:worker", "@random-master": "role:master"}
    if target in random_of:
        pool = _some(target, fixed[random_of[target]])
        return (random.Random(seed).choice(pool),)  # noqa: S311 (a dice, not a secret)
    now = status()
    if target == "@leader":
        return _some(target, [now.etcd_leader] if now.etcd_leader else [])
    return _some(target, now.vip_holders)


def _fixed(topology: Topology) -> dict[str, Sequence[str]]:
    """Return the targets that the topology alone decides."""
    masters = [node.name for node in topology.masters]
    minority, majority = topology.halves
    return {
        "@first-master": masters[:1],
        "minority": minority,
        "majority": majority,
        "role:master": masters,
        "role:worker": [node.name for node in topology.workers],
        "role:loadbalancer": [topology.loadbalancer.name],
        "all": [node.name for node in topology.nodes],
    }


def check(listed: str, topology: Topology) -> None:
    """Raise InputError, with a suggestion, if one of a comma-separated list is no target."""
    known = [
        *_names(topology),
        *SELECTORS,
        "role:master",
        "role:worker",
        "role:loadbalancer",
        "all",
    ]
    for target in listed.split(","):
        if target not in known:
            raise InputError(f"no node and no target `{target}`", did_you_mean(target, known))


def _names(topology: Topology) -> list[str]:
    return [node.name for node in topology.machines]


def _some(target: str, names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        raise InputError(f"target `{target}` means no node now", HELP)
    return tuple(names)
