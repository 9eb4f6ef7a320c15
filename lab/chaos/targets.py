"""Targets: words for nodes, resolved when a fault fires."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from lab.base.errors import InputError
from lab.base.messages import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.live.status import LabStatus
    from lab.topology.model import Topology

WORDS = (
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
    + ", ".join(WORDS)
    + ", role:master, role:worker, role:loadbalancer, all; several by commas"
)


def resolve(
    words: str, topology: Topology, status: Callable[[], LabStatus], seed: int
) -> tuple[str, ...]:
    """Return the nodes that words mean now, each once; several are parted by commas.

    See `resolve_one`.
    """
    return tuple(
        dict.fromkeys(
            name for word in words.split(",") for name in resolve_one(word, topology, status, seed)
        )
    )


def resolve_one(
    word: str, topology: Topology, status: Callable[[], LabStatus], seed: int
) -> tuple[str, ...]:
    """Return the nodes that a word means now. `seed` decides the random ones: the same seed, the same node.

    minority and majority are of the masters, and hold the first master's side last: the minority is the first master's end of the file.
    Raises InputError for an unknown word, or one that means nobody now.
    """
    check(word, topology)
    masters, workers = (
        [node.name for node in topology.masters],
        [node.name for node in topology.workers],
    )
    minority, majority = map(list, topology.halves)
    fixed = {
        "@first-master": masters[:1],
        "minority": minority,
        "majority": majority,
        "role:master": masters,
        "role:worker": workers,
    }
    fixed |= {
        "all": [node.name for node in topology.nodes],
        "role:loadbalancer": [topology.loadbalancer.name],
    }
    if word in _names(topology):
        return (word,)
    if word in fixed:
        return _some(word, fixed[word])
    if word in {"@random-worker", "@random-master"}:
        pool = _some(word, workers if word == "@random-worker" else masters)
        return (random.Random(seed).choice(pool),)  # noqa: S311 (a dice, not a secret)
    seen = status()
    return _some(
        word,
        [seen.etcd_leader]
        if word == "@leader" and seen.etcd_leader
        else list(seen.vip_holders if word == "@vip-holder" else ()),
    )


def check(word: str, topology: Topology) -> None:
    """Raise InputError for what is neither a node nor a target, with a proposal; several words are parted by commas."""
    known = [*_names(topology), *WORDS, "role:master", "role:worker", "role:loadbalancer", "all"]
    for one in word.split(","):
        if one not in known:
            raise InputError(f"no node and no target `{one}`", did_you_mean(one, known))


def _names(topology: Topology) -> list[str]:
    return [node.name for node in topology.machines]


def _some(word: str, found: list[str]) -> tuple[str, ...]:
    if not found:
        raise InputError(f"target `{word}` means nobody now", HELP)
    return tuple(found)
