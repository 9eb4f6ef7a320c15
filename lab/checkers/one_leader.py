"""etcd has at most one leader in a term. Two leaders in different terms are legal for a moment: the old one has not heard yet."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.checkers import Figure, Verdict, verdict
from lab.samples import series

if TYPE_CHECKING:
    from lab.history import Event, History

PREFIX = "etcd"


@dataclass(frozen=True, slots=True, order=True)
class Reign:
    """A member that led in a term: first seen and last seen, seconds; `node` is the master that said so of itself."""

    first: float
    last: float
    term: int
    member: str
    node: str


def claim(sample: Event) -> tuple[int, str] | None:
    """Give term and member where the sample says that this member leads."""
    value = sample.get("value")
    if sample.get("ok") is not True or not isinstance(value, dict) or value.get("leader") is not True:
        return None
    term = value.get("term")
    node = str(sample.get("probe")).removeprefix(f"{PREFIX}.")
    return None if isinstance(term, bool) or not isinstance(term, int) else (term, str(value.get("member") or node))


def reigns(history: History) -> tuple[Reign, ...]:
    """Give who led, term by term, in the order in which it was first seen."""
    found: dict[tuple[int, str], Reign] = {}
    for name in (name for name in history.sampled() if name.startswith(f"{PREFIX}.")):
        said: dict[tuple[int, str], float] = {}
        for event in sorted(history.samples(name), key=lambda event: event.end):
            led = claim(event)
            # etcd's status reads the leader and the term one after the other: in the moment of an election a member may name the new
            # leader with the old term (seen). What it says again when it is asked after that answer, it says.
            if led and event.t >= said.setdefault(led, event.end):
                known = found.get(led)
                first = min(known.first, said[led]) if known else said[led]
                found[led] = Reign(first, max(known.last, event.end) if known else event.end, *led, name.removeprefix(f"{PREFIX}."))
    return tuple(sorted(found.values()))


class _OneLeader:
    name = "one_leader"
    summary = "etcd never had two leaders in one term; leader changes are counted."

    def check(self, history: History) -> Verdict:
        members = series(history, PREFIX)
        led = reigns(history)
        terms: dict[int, set[str]] = defaultdict(set)
        for reign in led:
            terms[reign.term].add(reign.member)
        bad = [f"in term {term}, {' and '.join(sorted(who))} each said that it leads" for term, who in sorted(terms.items()) if len(who) > 1]
        unsure = [text for found in members.values() if (text := found.trouble() or found.blind())]
        if not members:
            unsure.append(f"nobody asked etcd's members (no probe {PREFIX}.<master>)")
        elif not led:
            unsure.append("no member ever said that it leads")
        changes = max(0, len(led) - 1)
        resolution = max((found.interval for found in members.values()), default=0.0)
        note = "; ".join(unsure)
        figures = [Figure("leader_changes", float(changes), "", 0.0, math.inf if unsure else None, note)] if led else []
        good = [f"terms seen: {len(terms)}, one leader in each; changes of leader: {changes} (asked every {resolution * 1000:.0f} ms)"]
        return verdict(self.name, bad, unsure, good, figures)


CHECKER = _OneLeader()
