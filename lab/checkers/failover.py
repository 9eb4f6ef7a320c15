"""How long it took until others had taken over, in phases counted from the moment the fault fired.

Faults that fire within half a second of each other are one blow. What happened after its healing began is no failover any more,
but a return; only pods and lasting answers may come later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.checkers import Figure, Verdict, one_leader, verdict, vip_unique
from lab.checkers.outage import measure
from lab.samples import series, under

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lab.checkers.outage import Outages
    from lab.history import Event, History
    from lab.samples import Series

TOGETHER_S = 0.5
JOURNAL_S = 0.001
"""Resolution of a journal's time stamps as halab reads them; a log event that says `resolution` knows better."""
LOGS = {"token_lost": "token-lost", "membership": "membership", "fenced": "fenced", "vip_start": "vip-start"}
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
class _Seen:
    """A history, sorted once: a run of ten minutes has half a million samples."""

    probes: dict[str, Series]
    logs: tuple[Event, ...]
    faults: tuple[Event, ...]
    reigns: tuple[one_leader.Reign, ...]
    measured: dict[str, Outages]

    def interval(self, probe: str) -> float:
        """Give a probe's interval, seconds; 0 where none is known."""
        return self.probes[probe].interval if probe in self.probes else 0.0


def _look(history: History) -> _Seen:
    return _Seen(series(history), history.of("log"), history.of("fault"), one_leader.reigns(history), measure(history))


def blows(history: History) -> tuple[Blow, ...]:
    """Give the faults of a run with the phases of what followed."""
    return _blows(_look(history))


def _blows(seen: _Seen) -> tuple[Blow, ...]:
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
        heals = [event.t for event in seen.faults if event.get("action") in {"heal", "healed"} and str(event.get("id")) in ids]
        limit = groups[number + 1][0].t if number + 1 < len(groups) else math.inf
        faults = tuple(sorted({str(fire.get("fault")) for fire in group}))
        nodes = tuple(sorted({str(fire.get("node")) for fire in group}))
        blow = Blow(group[0].t, faults, nodes, ids, min(heals, default=math.inf), limit)
        phases = tuple(phase for name in PHASES if (phase := _phase(seen, blow, name)))
        missing = tuple(name for name in PHASES if name not in {phase.name for phase in phases})
        found.append(Blow(blow.t, faults, nodes, ids, blow.healed, limit, phases, missing))
    return tuple(found)


def _phase(seen: _Seen, blow: Blow, name: str) -> Phase | None:
    if name in LOGS:
        return _logged(seen, blow, name)
    if name in PROBES:
        prefix = next((prefix for prefix in PROBES[name] if any(under(probe, prefix) for probe in seen.measured)), "")
        answered = answer(seen.measured, blow, prefix) if prefix else None
        return Phase(name, answered.seconds, answered.resolution, answered.detail) if answered else None
    return {"vip_up": _vip_up, "leader": _leader, "not_ready": _not_ready, "endpoint": _endpoint, "pods": _pods}[name](seen, blow)


def answer(measured: dict[str, Outages], blow: Blow, prefix: str) -> Phase | None:
    """Give when all probes under a prefix that the blow interrupted had lasting answers again; None: it interrupted none, or for good."""
    ends = []
    for name, row in measured.items():
        if not under(name, prefix):
            continue
        # An outage may begin, by its last good answer, just before the fault that caused it.
        hit = next((span for span in row.spans if span.end > blow.t and span.begin + row.resolution >= blow.t and span.begin < blow.until), None)
        if hit is not None and hit.open:
            return None
        if hit is not None:
            ends.append((hit.end - blow.t, row.resolution, name))
    if not ends:
        return None
    seconds, resolution, name = max(ends)
    return Phase(prefix, seconds, resolution, name)


def _logged(seen: _Seen, blow: Blow, name: str) -> Phase | None:
    for event in seen.logs:
        if event.get("what") == LOGS[name] and blow.within(event.t):
            detail = f"{event.get('node', '')}: {event.get('text', '')}"[:120]
            return Phase(name, event.t - blow.t, float(event.get("resolution") or JOURNAL_S), detail)
    return None


def _before_after(seen: _Seen, blow: Blow, probe: str, until: float) -> tuple[Event | None, Iterator[Event]]:
    """Give a probe's last answer before the blow, and those after it."""
    samples = [sample for sample in seen.probes[probe].samples if sample.get("ok") is True] if probe in seen.probes else []
    before = [sample for sample in samples if sample.end <= blow.t]
    return (before[-1] if before else None, (sample for sample in samples if sample.t >= blow.t and sample.end < until))


def _first(seen: _Seen, blow: Blow, probe: str, name: str, changed: Callable[[Event, Event], str], until: float | None = None) -> Phase | None:
    """Give the first answer after the blow that differs, by `changed`, from the last one before it."""
    before, after = _before_after(seen, blow, probe, blow.until if until is None else until)
    if before is None:
        return None
    for sample in after:
        detail = changed(before, sample)
        if detail:
            return Phase(name, sample.end - blow.t, seen.interval(probe), detail)
    return None


def _vip_up(seen: _Seen, blow: Blow) -> Phase | None:
    def changed(before: Event, sample: Event) -> str:
        return ", ".join(sorted(set(vip_unique.holders(sample)) - set(vip_unique.holders(before))))

    return _first(seen, blow, vip_unique.PROBE, "vip_up", changed)


def _leader(seen: _Seen, blow: Blow) -> Phase | None:
    if not any(reign.first <= blow.t for reign in seen.reigns):
        return None
    for reign in seen.reigns:
        if blow.within(reign.first):
            resolution = seen.interval(f"{one_leader.PREFIX}.{reign.node}")
            return Phase("leader", reign.first - blow.t, resolution, f"{reign.node}, term {reign.term}")
    return None


def _not_ready(seen: _Seen, blow: Blow) -> Phase | None:
    def changed(before: Event, sample: Event) -> str:
        was, now = _mapping(before), _mapping(sample)
        return ", ".join(f"{node}: {now[node]}" for node in sorted(now) if was.get(node) == "Ready" and now[node] != "Ready")

    return _first(seen, blow, "nodes", "not_ready", changed)


def _endpoint(seen: _Seen, blow: Blow) -> Phase | None:
    def changed(before: Event, sample: Event) -> str:
        was, now = before.get("value"), sample.get("value")
        both = isinstance(was, list) and isinstance(now, list)
        return ", ".join(sorted({str(ip) for ip in was} - {str(ip) for ip in now})) if both else ""

    return _first(seen, blow, "endpoints", "endpoint", changed)


def _pods(seen: _Seen, blow: Blow) -> Phase | None:
    """As many pods are ready as before, none of them on a node that was hit, after some had been lost there."""

    def ready(sample: Event) -> dict[str, str]:
        pods = _mapping(sample)
        return {name: str(pod.get("node")) for name, pod in pods.items() if isinstance(pod, dict) and pod.get("ready") is True}

    def changed(before: Event, sample: Event) -> str:
        was, now = ready(before), ready(sample)
        lost = [name for name, node in was.items() if node in blow.nodes]
        back = bool(lost) and len(now) >= len(was) and not set(now.values()) & set(blow.nodes)
        return f"{len(lost)} {'pod' if len(lost) == 1 else 'pods'} replaced: {', '.join(sorted(set(now) - set(was)))}" if back else ""

    return _first(seen, blow, "pods", "pods", changed, blow.limit)


def _mapping(sample: Event) -> dict[str, object]:
    value = sample.get("value")
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}


def figure(history: History, what: str) -> Figure:
    """Give the failover time of a phase, or of the probes under a prefix (`api.lb`): the worst of all blows; None where none was seen."""
    seen = _look(history)
    return _figure(_blows(seen), seen.measured, what)


def _figure(rows: Sequence[Blow], measured: dict[str, Outages], what: str) -> Figure:
    found: list[tuple[Blow, Phase]] = []
    never = []
    for blow in rows:
        seen = next((phase for phase in blow.phases if phase.name == what), None) if what in PHASES else answer(measured, blow, what)
        if seen:
            found.append((blow, seen))
        prefixes = PROBES.get(what, (what,))
        gone = [row.probe for row in measured.values() if under(row.probe, prefixes[-1]) and row.spans and row.spans[-1].open]
        if not seen and gone and _struck(measured, blow, gone):
            never.append(f"{', '.join(gone)}: no lasting answer after the fault at {blow.t:.2f} s")
    name = f"failover({what})"
    if not found:
        unseen = f"not seen after any fault: {PHASES.get(what, f'{what} was not interrupted')}"
        note = "; ".join(never) or (unseen if rows else "no fault fired")
        return Figure(name, None, "s", note=note)
    blow, slowest = max(found, key=lambda pair: pair[1].seconds)
    note = "; ".join([f"after {', '.join(blow.faults)} on {', '.join(blow.nodes)} at {blow.t:.2f} s", *never])
    return Figure(name, slowest.seconds, "s", slowest.resolution, math.inf if never else None, note)


def _struck(measured: dict[str, Outages], blow: Blow, names: list[str]) -> bool:
    """Tell whether the open outage of one of these probes began between this blow and the next."""
    return any(blow.t <= measured[name].spans[-1].begin + measured[name].resolution < blow.limit for name in names)


class _Failover:
    name = "failover"
    summary = "How long each phase took from the fault to the first good answer; fails if the VIP never answered again."

    def check(self, history: History) -> Verdict:
        looked = _look(history)
        rows = _blows(looked)
        measured = {name: row for name, row in looked.measured.items() if under(name, "api.vip")}
        bad = [
            f"{name}: no lasting answer after {', '.join(blow.faults)} on {', '.join(blow.nodes)} at {blow.t:.2f} s"
            for blow in rows
            for name, row in measured.items()
            if row.open and _struck(measured, blow, [name])
        ]
        unsure = [row.trouble or row.blind for row in measured.values() if row.trouble or row.blind]
        if not rows:
            unsure.append("no fault fired: nothing to fail over from")
        if not measured:
            unsure.append("nobody asked the API through the VIP (no probe api.vip)")
        good = []
        for blow in rows:
            told = ", ".join(f"{phase.name} {phase.seconds:.3f} s" for phase in blow.phases) or "nothing changed"
            left = f"; not seen: {', '.join(blow.missing)}" if blow.missing else ""
            good.append(f"{', '.join(blow.faults)} on {', '.join(blow.nodes)} at {blow.t:.2f} s: {told}{left}")
        seen = {phase.name for blow in rows for phase in blow.phases}
        return verdict(self.name, bad, unsure, good, [_figure(rows, looked.measured, name) for name in PHASES if name in seen])


CHECKER = _Failover()
