"""What followed a fault, in phases counted from the moment it fired.

The failover checker and the report use them. Faults that fire within half a second of each other
are one group. What happens after a group's healing began is no failover, but a return to normal;
only pods and lasting answers may come later.
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
"""Faults that fire within this time of the first are one group."""
JOURNAL_S = 0.001
"""Resolution of a journal's time stamps as halab reads them, for log events that do not say."""
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
    """The end of a phase."""

    name: str
    seconds: float
    """Since the fault fired."""
    resolution: float
    """How far the true value may lie from it, seconds."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FaultGroup:
    """Faults that fired together. Times are seconds since the run began."""

    t: float
    """When the first one fired."""
    faults: tuple[str, ...]
    nodes: tuple[str, ...]
    ids: tuple[str, ...]
    healed: float = math.inf
    """When its healing began."""
    limit: float = math.inf
    """When the next group fired."""
    phases: tuple[Phase, ...] = ()
    """The phases that were seen."""
    missing: tuple[str, ...] = ()
    """The names of those that were not."""

    @property
    def until(self) -> float:
        """Until when something counts as its consequence."""
        return min(self.healed, self.limit)

    def within(self, t: float) -> bool:
        """Whether a time is after the faults, and before the healing or the next group."""
        return self.t <= t < self.until


@dataclass(frozen=True, slots=True)
class PreparedHistory:
    """A history with its series and outages, computed once: ten minutes are 500,000 samples."""

    probes: dict[str, Series]
    answers: dict[str, tuple[Event, ...]]
    """The answered samples of the observers, by probe."""
    logs: tuple[Event, ...]
    faults: tuple[Event, ...]
    terms: tuple[leader_terms.LeaderTerm, ...]
    measured: dict[str, Outages]

    def interval(self, probe: str) -> float:
        """Return a probe's interval, seconds; 0 if it is not known."""
        return self.probes[probe].interval if probe in self.probes else 0.0


def look(history: History) -> PreparedHistory:
    """Return a history prepared for `groups_in`."""
    probes = series(history)
    observers = ("nodes", "endpoints", "pods", vip_holders.PROBE)
    answers = {
        name: tuple(sample for sample in probes[name].asked if sample.get("ok") is True)
        for name in observers
        if name in probes
    }
    return PreparedHistory(
        probes,
        answers,
        history.of("log"),
        history.of("fault"),
        leader_terms.leader_terms_of(history),
        measure(history),
    )


def fault_groups(history: History) -> tuple[FaultGroup, ...]:
    """Return the fault groups of a run, each with the phases that followed it."""
    return groups_in(look(history))


def groups_in(run: PreparedHistory) -> tuple[FaultGroup, ...]:
    """Return the fault groups of a prepared history, each with the phases that followed it."""
    fires = [event for event in run.faults if event.get("action") == "fire"]
    together: list[list[Event]] = []
    for fire in fires:
        if together and fire.t - together[-1][0].t <= TOGETHER_S:
            together[-1].append(fire)
        else:
            together.append([fire])
    groups = []
    for number, fired in enumerate(together):
        ids = tuple(str(fire.get("id")) for fire in fired)
        heals = [
            event.t
            for event in run.faults
            if event.get("action") in {"heal", "healed"} and str(event.get("id")) in ids
        ]
        limit = together[number + 1][0].t if number + 1 < len(together) else math.inf
        faults = tuple(sorted({str(fire.get("fault")) for fire in fired}))
        nodes = tuple(sorted({str(fire.get("node")) for fire in fired}))
        group = FaultGroup(fired[0].t, faults, nodes, ids, min(heals, default=math.inf), limit)
        phases = tuple(phase for name in PHASES if (phase := _phase(run, group, name)))
        missing = tuple(name for name in PHASES if name not in {phase.name for phase in phases})
        groups.append(FaultGroup(group.t, faults, nodes, ids, group.healed, limit, phases, missing))
    return tuple(groups)


def _phase(run: PreparedHistory, group: FaultGroup, name: str) -> Phase | None:
    if name in LOGS:
        return _logged(run, group, name)
    if name in PROBES:
        return _answered(run, group, name)
    return {
        "vip_up": _vip_up,
        "leader": _leader,
        "not_ready": _not_ready,
        "endpoint": _endpoint,
        "pods": _pods,
    }[name](run, group)


def _answered(run: PreparedHistory, group: FaultGroup, name: str) -> Phase | None:
    """Return a phase that ends with an answer, by the first of its prefixes that was measured."""
    for prefix in PROBES[name]:
        if any(under(probe, prefix) for probe in run.measured):
            end = answer(run.measured, group, prefix)
            return Phase(name, end.seconds, end.resolution, end.detail) if end else None
    return None


def answer(measured: dict[str, Outages], group: FaultGroup, prefix: str) -> Phase | None:
    """Return when all probes under a prefix that the group interrupted had lasting answers again.

    None if it interrupted none, or one of them for good.
    """
    ends = []
    for name, row in measured.items():
        if not under(name, prefix):
            continue
        # An outage may begin, by its last good answer, just before the fault that caused it.
        outage = next(
            (
                span
                for span in row.spans
                if span.end > group.t
                and span.begin + row.resolution >= group.t
                and span.begin < group.until
            ),
            None,
        )
        if outage is not None and outage.open:
            return None
        if outage is not None:
            ends.append((outage.end - group.t, row.resolution, name))
    if not ends:
        return None
    seconds, resolution, name = max(ends)
    return Phase(prefix, seconds, resolution, name)


def _logged(run: PreparedHistory, group: FaultGroup, name: str) -> Phase | None:
    for event in run.logs:
        if event.get("what") == LOGS[name] and group.within(event.t):
            detail = f"{event.get('node', '')}: {event.get('text', '')}"[:120]
            return Phase(
                name, event.t - group.t, float(event.get("resolution") or JOURNAL_S), detail
            )
    return None


def _before_after(
    run: PreparedHistory, group: FaultGroup, probe: str, until: float
) -> tuple[Event | None, Iterator[Event]]:
    """Return a probe's last answer before the group, and those after it."""
    samples = run.answers.get(probe, ())
    begin = bisect_left(samples, group.t, key=lambda sample: sample.t)
    before = next((sample for sample in reversed(samples[:begin]) if sample.end <= group.t), None)
    after = takewhile(lambda sample: sample.t < until, islice(samples, begin, None))
    return before, (sample for sample in after if sample.end < until)


def _first(
    run: PreparedHistory,
    group: FaultGroup,
    probe: str,
    name: str,
    changed: Callable[[Event, Event], str],
    until: float | None = None,
) -> Phase | None:
    """Return the first answer after the group that differs from the last one before it.

    `changed` says in which way it differs; empty if it does not.
    """
    before, after = _before_after(run, group, probe, group.until if until is None else until)
    if before is None:
        return None
    for sample in after:
        detail = changed(before, sample)
        if detail:
            return Phase(name, sample.end - group.t, run.interval(probe), detail)
    return None


def _vip_up(run: PreparedHistory, group: FaultGroup) -> Phase | None:
    def changed(before: Event, sample: Event) -> str:
        return ", ".join(
            sorted(set(vip_holders.holders(sample)) - set(vip_holders.holders(before)))
        )

    return _first(run, group, vip_holders.PROBE, "vip_up", changed)


def _leader(run: PreparedHistory, group: FaultGroup) -> Phase | None:
    if not any(led.first <= group.t for led in run.terms):
        return None
    for led in run.terms:
        if group.within(led.first):
            resolution = run.interval(f"{leader_terms.PREFIX}.{led.node}")
            return Phase("leader", led.first - group.t, resolution, f"{led.node}, term {led.term}")
    return None


def _not_ready(run: PreparedHistory, group: FaultGroup) -> Phase | None:
    def changed(before: Event, sample: Event) -> str:
        was, now = _mapping(before), _mapping(sample)
        return ", ".join(
            f"{node}: {now[node]}"
            for node in sorted(now)
            if was.get(node) == "Ready" and now[node] != "Ready"
        )

    return _first(run, group, "nodes", "not_ready", changed)


def _endpoint(run: PreparedHistory, group: FaultGroup) -> Phase | None:
    def changed(before: Event, sample: Event) -> str:
        was, now = before.get("value"), sample.get("value")
        both = isinstance(was, list) and isinstance(now, list)
        return ", ".join(sorted({str(ip) for ip in was} - {str(ip) for ip in now})) if both else ""

    return _first(run, group, "endpoints", "endpoint", changed)


def _pods(run: PreparedHistory, group: FaultGroup) -> Phase | None:
    """Return when the pods of the nodes that were hit were replaced.

    Then as many pods are ready as before, and none of them is on such a node.
    """

    def ready(sample: Event) -> dict[str, str]:
        pods = _mapping(sample)
        return {
            name: str(pod.get("node"))
            for name, pod in pods.items()
            if isinstance(pod, dict) and pod.get("ready") is True
        }

    def changed(before: Event, sample: Event) -> str:
        was, now = ready(before), ready(sample)
        lost = [name for name, node in was.items() if node in group.nodes]
        back = bool(lost) and len(now) >= len(was) and not set(now.values()) & set(group.nodes)
        if not back:
            return ""
        pods = "pod" if len(lost) == 1 else "pods"
        return f"{len(lost)} {pods} replaced: {', '.join(sorted(set(now) - set(was)))}"

    return _first(run, group, "pods", "pods", changed, group.limit)


def _mapping(sample: Event) -> dict[str, object]:
    value = sample.get("value")
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}
