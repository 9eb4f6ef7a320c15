"""What followed a fault, in phases counted from the moment it fired; the failover checker and the report tell them.

Faults that fire within half a second of each other are one blow. What happened after its healing began is no failover any more,
but a return; only pods and lasting answers may come later.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from lab.analysis.history import leader_terms, vip_holders
from lab.analysis.history.outages import measure
from lab.analysis.history.series import series, under

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.analysis.history.events import Event, History
    from lab.analysis.history.outages import Outages
    from lab.analysis.history.series import Series

TOGETHER_S = 0.5
JOURNAL_S = 0.001
"""Resolution of a journal's time stamps as halab reads them; a log event that says `resolution` knows better."""
LOGS = {
    "token_lost": "token-lost",
    "membership": "membership",
    "fenced": "fenced",
    "vip_start": "vip-start",
}
PHASES = {
    "token_lost": "Corosync lost the node's token",
    "membership": "the others agreed on a new membership",
    "fenced": "the node was fenced",
    "vip_start": "Pacemaker started the VIP elsewhere",
    "vip_up": "a new holder answered for the VIP",
    "vip": "first lasting good answer of the API through the VIP (new connections)",
    "write": "first lasting good write through the VIP",
    "leader": "etcd had a new leader",
    "not_ready": "Kubernetes called the node not ready",
    "endpoint": "an endpoint was removed from the service",
    "pods": "all pods were replaced and ready again",
}
PROBES = {"vip": ("api.vip.new", "api.vip"), "write": ("write.vip.new", "write.vip")}


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase's end: seconds since the fault fired, and how exactly that is known (seconds)."""

    name: str
    seconds: float
    resolution: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Blow:
    """Faults that fired together: when (seconds since the run began), which on which nodes, the phases seen and the ones not seen."""

    t: float
    faults: tuple[str, ...]
    nodes: tuple[str, ...]
    ids: tuple[str, ...]
    healed: float = math.inf
    """When its healing began."""
    limit: float = math.inf
    """When the next blow fell."""
    phases: tuple[Phase, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def until(self) -> float:
        """Until when something counts as its consequence."""
        return min(self.healed, self.limit)

    def within(self, t: float) -> bool:
        """Tell whether that was after it and before its healing."""
        return self.t <= t < self.until


@dataclass(frozen=True, slots=True)
class Seen:
    """A history, sorted once: a run of ten minutes has half a million samples."""

    probes: dict[str, Series]
    answers: dict[str, tuple[Event, ...]]
    """The answered samples of the observers, by probe."""
    logs: tuple[Event, ...]
    faults: tuple[Event, ...]
    reigns: tuple[leader_terms.Reign, ...]
    measured: dict[str, Outages]

    def interval(self, probe: str) -> float:
        """Give a probe's interval, seconds; 0 where none is known."""
        return self.probes[probe].interval if probe in self.probes else 0.0


def look(history: History) -> Seen:
    """Sort a history out."""
    probes = series(history)
    observers = ("nodes", "endpoints", "pods", vip_holders.PROBE)
    answers = {
        name: tuple(sample for sample in probes[name].seen if sample.get("ok") is True)
        for name in observers
        if name in probes
    }
    return Seen(
        probes,
        answers,
        history.of("log"),
        history.of("fault"),
        leader_terms.reigns(history),
        measure(history),
    )


def blows(history: History) -> tuple[Blow, ...]:
    """Give the faults of a run with the phases of what followed."""
    return blows_in(look(history))


def blows_in(seen: Seen) -> tuple[Blow, ...]:
    """Give the faults of a run that was looked at."""
    fires = [event for event in seen.faults if event.get("action") == "fire"]
    groups: list[list[Event]] = []
    for fire in fires:
        if groups and fire.t - groups[-1][0].t <= TOGETHER_S:
            groups[-1].append(fire)
        else:
            groups.append([fire])
    found = []
    for number, group in enumerate(groups):
        ids = tuple(str(fire.get("id")) for fire in group)
        heals = [
            event.t
            for event in seen.faults
            if event.get("action") in {"heal", "healed"} and str(event.get("id")) in ids
        ]
        limit = groups[number + 1][0].t if number + 1 < len(groups) else math.inf
        faults = tuple(sorted({str(fire.get("fault")) for fire in group}))
        nodes = tuple(sorted({str(fire.get("node")) for fire in group}))
        blow = Blow(group[0].t, faults, nodes, ids, min(heals, default=math.inf), limit)
        phases = tuple(phase for name in PHASES if (phase := _phase(seen, blow, name)))
        missing = tuple(name for name in PHASES if name not in {phase.name for phase in phases})
        found.append(Blow(blow.t, faults, nodes, ids, blow.healed, limit, phases, missing))
    return tuple(found)


def _phase(seen: Seen, blow: Blow, name: str) -> Phase | None:
    if name in LOGS:
        return _logged(seen, blow, name)
    if name in PROBES:
        prefix = next(
            (
                prefix
                for prefix in PROBES[name]
                if any(under(probe, prefix) for probe in seen.measured)
            ),
            "",
        )
        answered = answer(seen.measured, blow, prefix) if prefix else None
        return (
            Phase(name, answered.seconds, answered.resolution, answered.detail)
            if answered
            else None
        )
    return {
        "vip_up": _vip_up,
        "leader": _leader,
        "not_ready": _not_ready,
        "endpoint": _endpoint,
        "pods": _pods,
    }[name](seen, blow)


def answer(measured: dict[str, Outages], blow: Blow, prefix: str) -> Phase | None:
    """Give when all probes under a prefix that the blow interrupted had lasting answers again; None: it interrupted none, or for good."""
    ends = []
    for name, row in measured.items():
        if not under(name, prefix):
            continue
        # An outage may begin, by its last good answer, just before the fault that caused it.
        hit = next(
            (
                span
                for span in row.spans
                if span.end > blow.t
                and span.begin + row.resolution >= blow.t
                and span.begin < blow.until
            ),
            None,
        )
        if hit is not None and hit.open:
            return None
        if hit is not None:
            ends.append((hit.end - blow.t, row.resolution, name))
    if not ends:
        return None
    seconds, resolution, name = max(ends)
    return Phase(prefix, seconds, resolution, name)


def _logged(seen: Seen, blow: Blow, name: str) -> Phase | None:
    for event in seen.logs:
        if event.get("what") == LOGS[name] and blow.within(event.t):
            detail = f"{event.get('node', '')}: {event.get('text', '')}"[:120]
            return Phase(
                name, event.t - blow.t, float(event.get("resolution") or JOURNAL_S), detail
            )
    return None


def _before_after(
    seen: Seen, blow: Blow, probe: str, until: float
) -> tuple[Event | None, Iterator[Event]]:
    """Give a probe's last answer before the blow, and those after it."""
    samples = seen.answers.get(probe, ())
    begin = bisect_left(samples, blow.t, key=lambda sample: sample.t)
    before = next((sample for sample in reversed(samples[:begin]) if sample.end <= blow.t), None)
    after = takewhile(lambda sample: sample.t < until, islice(samples, begin, None))
    return before, (sample for sample in after if sample.end < until)


def _first(
    seen: Seen,
    blow: Blow,
    probe: str,
    name: str,
    changed: Callable[[Event, Event], str],
    until: float | None = None,
) -> Phase | None:
    """Give the first answer after the blow that differs, by `changed`, from the last one before it."""
    before, after = _before_after(seen, blow, probe, blow.until if until is None else until)
    if before is None:
        return None
    for sample in after:
        detail = changed(before, sample)
        if detail:
            return Phase(name, sample.end - blow.t, seen.interval(probe), detail)
    return None


def _vip_up(seen: Seen, blow: Blow) -> Phase | None:
    def changed(before: Event, sample: Event) -> str:
        return ", ".join(
            sorted(set(vip_holders.holders(sample)) - set(vip_holders.holders(before)))
        )

    return _first(seen, blow, vip_holders.PROBE, "vip_up", changed)


def _leader(seen: Seen, blow: Blow) -> Phase | None:
    if not any(reign.first <= blow.t for reign in seen.reigns):
        return None
    for reign in seen.reigns:
        if blow.within(reign.first):
            resolution = seen.interval(f"{leader_terms.PREFIX}.{reign.node}")
            return Phase(
                "leader", reign.first - blow.t, resolution, f"{reign.node}, term {reign.term}"
            )
    return None


def _not_ready(seen: Seen, blow: Blow) -> Phase | None:
    def changed(before: Event, sample: Event) -> str:
        was, now = _mapping(before), _mapping(sample)
        return ", ".join(
            f"{node}: {now[node]}"
            for node in sorted(now)
            if was.get(node) == "Ready" and now[node] != "Ready"
        )

    return _first(seen, blow, "nodes", "not_ready", changed)


def _endpoint(seen: Seen, blow: Blow) -> Phase | None:
    def changed(before: Event, sample: Event) -> str:
        was, now = before.get("value"), sample.get("value")
        both = isinstance(was, list) and isinstance(now, list)
        return ", ".join(sorted({str(ip) for ip in was} - {str(ip) for ip in now})) if both else ""

    return _first(seen, blow, "endpoints", "endpoint", changed)


def _pods(seen: Seen, blow: Blow) -> Phase | None:
    """As many pods are ready as before, none of them on a node that was hit, after some had been lost there."""

    def ready(sample: Event) -> dict[str, str]:
        pods = _mapping(sample)
        return {
            name: str(pod.get("node"))
            for name, pod in pods.items()
            if isinstance(pod, dict) and pod.get("ready") is True
        }

    def changed(before: Event, sample: Event) -> str:
        was, now = ready(before), ready(sample)
        lost = [name for name, node in was.items() if node in blow.nodes]
        back = bool(lost) and len(now) >= len(was) and not set(now.values()) & set(blow.nodes)
        return (
            f"{len(lost)} {'pod' if len(lost) == 1 else 'pods'} replaced: {', '.join(sorted(set(now) - set(was)))}"
            if back
            else ""
        )

    return _first(seen, blow, "pods", "pods", changed, blow.limit)


def _mapping(sample: Event) -> dict[str, object]:
    value = sample.get("value")
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}
