"""Who led etcd in which term, by the members' own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.analysis.history.events import Event, History


PREFIX = "etcd"


@dataclass(frozen=True, slots=True, order=True)
class LeaderTerm:
    """A member that led in a term: first seen and last seen, seconds; `node` is the master that said so of itself."""

    first: float
    last: float
    term: int
    member: str
    node: str


def claim(sample: Event) -> tuple[int, str] | None:
    """Return term and member where the sample says that this member leads."""
    value = sample.get("value")
    if (
        sample.get("ok") is not True
        or not isinstance(value, dict)
        or value.get("leader") is not True
    ):
        return None
    term = value.get("term")
    node = str(sample.get("probe")).removeprefix(f"{PREFIX}.")
    return (
        None
        if isinstance(term, bool) or not isinstance(term, int)
        else (term, str(value.get("member") or node))
    )


def leader_terms_of(history: History) -> tuple[LeaderTerm, ...]:
    """Return who led, term by term, in the order in which it was first seen."""
    found: dict[tuple[int, str], LeaderTerm] = {}
    for name in (name for name in history.sampled() if name.startswith(f"{PREFIX}.")):
        said: dict[tuple[int, str], float] = {}
        for event in sorted(history.samples(name), key=lambda event: event.end):
            led = claim(event)
            # etcd's status reads the leader and the term one after the other: in the moment of an
            # election a member may name the new leader with the old term (seen). What it says again
            # when it is asked after that answer, it says.
            if led and event.t >= said.setdefault(led, event.end):
                known = found.get(led)
                first = min(known.first, said[led]) if known else said[led]
                found[led] = LeaderTerm(
                    first,
                    max(known.last, event.end) if known else event.end,
                    *led,
                    name.removeprefix(f"{PREFIX}."),
                )
    return tuple(sorted(found.values()))
