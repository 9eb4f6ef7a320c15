"""Histories judged: a checker's verdict, and parts that are found or left out."""

from __future__ import annotations

from typing import Any

from histories import plus, without

from lab.analysis import checkers, verdicts
from lab.analysis.history.events import Event, History


def check(name: str, run: History) -> verdicts.Verdict:
    return checkers.find(name).check(run)


def probe(event: Event, name: str, begin: float = 0.0, end: float = 99.0) -> bool:
    return event.kind == "probe" and event.get("probe") == name and begin <= event.t < end


def op(event: Event, **values: Any) -> bool:
    return event.kind == "op" and all(event.get(key) == value for key, value in values.items())


def dead(run: History, since: float, *ends: Event) -> History:
    """A history whose instrument said nothing any more from then on; steps and faults went on."""
    kept = without(run, lambda event: event.kind in {"probe", "op", "watch"} and event.t >= since)
    return plus(kept, Event(0.0, "agent", {"state": "begin"}), *ends)


def end(code: int | None, *, told: bool) -> Event:
    return Event(29.9, "agent", {"state": "end", "code": code, "told": told})


WANTED = [
    "outage(api.vip) <= 5s",
    "outage(api.lb) <= 300ms",
    "outages(api.vip.new) == 1",
    "unavailable(api.vip) <= 3s",
    "failover(vip) <= 3s",
    "failover(leader) <= 3s",
    "failover(api.lb) <= 3s",
    "lost_writes == 0",
    "leader_changes <= 3",
    "vip_overlap == 0",
    "vip_unique",
    "not vip_unique",
    "linearizable",
    "one_leader",
    "watch",
    "steady",
    "outage(dns.pod) <= 1s",
]
"""Expectations that the good history meets, or most of them."""
