"""Which member led etcd in which term, as the members themselves said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.analysis.history.events import Event, History


PREFIX = "etcd"


@dataclass(frozen=True, slots=True, order=True)
class LeaderTerm:
    """A member that led in a term."""

    first: float
    """When it was first seen to lead, seconds since the run began."""
    last: float
    """When it was last seen to lead."""
    term: int
    member: str
    node: str
    """The master whose etcd said so of itself."""


def claim(sample: Event) -> tuple[int, str] | None:
    """Return (term, member) if the sampled member says that it leads, else None."""
    value = sample.get("value")
    if (
        sample.get("ok") is not True
        or not isinstance(value, dict)
        or value.get("leader") is not True
    ):
        return None
    term = value.get("term")
    if isinstance(term, bool) or not isinstance(term, int):
        return None
    node = str(sample.get("probe")).removeprefix(f"{PREFIX}.")
    return term, str(value.get("member") or node)


def leader_terms_of(history: History) -> tuple[LeaderTerm, ...]:
    """Return who led in which term, in the order in which it was first seen."""
    leaderships: list[list[LeaderTerm]] = []
    for name in history.sampled():
        if name.startswith(f"{PREFIX}."):
            leaderships += _leaderships(history.samples(name), name.removeprefix(f"{PREFIX}."))
    known: dict[tuple[int, str], LeaderTerm] = {}
    for one in (led for terms in leaderships for led in _without_late_terms(terms, leaderships)):
        other = known.get((one.term, one.member), one)
        known[one.term, one.member] = replace(
            one, first=min(one.first, other.first), last=max(one.last, other.last)
        )
    return tuple(sorted(known.values()))


def _leaderships(samples: Iterable[Event], node: str) -> Iterator[list[LeaderTerm]]:
    """Yield the terms of each time in which a member said again and again that it leads.

    Only its own answer that it does not lead ends such a time.
    """
    claimed: dict[tuple[int, str], float] = {}
    terms: dict[tuple[int, str], LeaderTerm] = {}
    for event in sorted(samples, key=lambda event: event.end):
        led = claim(event)
        if led is None and event.get("ok") is True:
            yield list(terms.values())
            claimed, terms = {}, {}
        # A claim counts once the member repeats it to a question that was asked after the first
        # answer: its status reads the leader and the term one after the other.
        elif led and event.t >= claimed.setdefault(led, event.end):
            terms[led] = LeaderTerm(claimed[led], event.end, *led, node)
    yield list(terms.values())


def _without_late_terms(
    terms: list[LeaderTerm], leaderships: list[list[LeaderTerm]]
) -> list[LeaderTerm]:
    """Return a leadership's terms without one that was its predecessor's.

    etcd's status has the term of the entry that was applied last (server/etcdserver/server.go:
    setTerm). A new leader tells the old one until its first entry is applied: that took 0.4 s on a
    slow disk (observed). So a term that another member led before counts as the one after it.
    """
    kept = list(terms)
    while len(kept) > 1 and _is_led_before(kept[0], leaderships):
        late = kept.pop(0)
        kept[0] = replace(kept[0], first=late.first)
    return kept


def _is_led_before(late: LeaderTerm, leaderships: list[list[LeaderTerm]]) -> bool:
    return any(
        one.term == late.term and one.member != late.member and one.first < late.first
        for terms in leaderships
        for one in terms
    )
