"""The lanes of the time-line: few stretches, however many samples there are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lab.analysis.history import leader_terms, vip_holders
from lab.analysis.history.series import series
from lab.analysis.report.model import Lane, Stretch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.analysis.history.events import Event, History
    from lab.analysis.history.outages import Outages
    from lab.analysis.history.series import Series
    from lab.analysis.report.model import State

DRAWN = 1200
"""A stretch shorter than the run divided by this cannot be seen on a page."""
MOST = 150
"""If a lane has more stretches than this, short ones are joined with their neighbours."""


def lanes(history: History, measured: dict[str, Outages]) -> tuple[Lane, ...]:
    """Return the lanes of a run in display order; `measured` are its outages by probe."""
    probes = series(history)
    span = history.span
    rows = [*_steps(history, span[1]), *_faults(history, span[1])]
    if vip_holders.PROBE in probes:
        rows += _named("VIP holder", probes[vip_holders.PROBE], vip_holders.holders)
    members = {
        name: probe for name, probe in probes.items() if name.startswith(f"{leader_terms.PREFIX}.")
    }
    rows += [
        lane
        for name, probe in members.items()
        for lane in _leading(name.removeprefix(f"{leader_terms.PREFIX}."), probe)
    ]
    rows += [
        Lane("Answers", name, tuple(_answers(probes[name], row)))
        for name, row in measured.items()
        if probes[name].samples
    ]
    if "nodes" in probes:
        rows += _nodes(probes["nodes"])
    return tuple(
        Lane(lane.group, lane.name, thinned(lane.stretches, (span[1] - span[0]) / DRAWN))
        for lane in rows
    )


def _steps(history: History, end: float) -> list[Lane]:
    begun: dict[str, Event] = {}
    stretches = []
    for event in history.of("step"):
        index = str(event.get("index"))
        if event.get("state") == "begin":
            begun[index] = event
        elif index in begun:
            before = begun.pop(index)
            failed = " (failed)" if event.get("state") == "failed" else ""
            stretches.append(
                Stretch(before.t, event.t, "step", f"{before.get('text', '')}{failed}")
            )
    stretches += [
        Stretch(event.t, end, "step", f"{event.get('text', '')} (not ended)")
        for event in begun.values()
    ]
    return (
        [Lane("Scenario", "steps", tuple(sorted(stretches, key=lambda each: each.begin)))]
        if stretches
        else []
    )


def _faults(history: History, end: float) -> list[Lane]:
    rows: dict[str, list[Stretch]] = {}
    events = history.of("fault")
    for fire in (event for event in events if event.get("action") == "fire"):
        ends = [
            event.t
            for event in events
            if event.get("id") == fire.get("id") and event.get("action") == "healed"
        ]
        target = str(fire.get("word") or "")
        text = f"{fire.get('fault')} on {fire.get('node')}"
        if target and target != fire.get("node"):
            text += f" ({target})"
        healed = min((t for t in ends if t >= fire.t), default=end)
        rows.setdefault(str(fire.get("fault")), []).append(Stretch(fire.t, healed, "fault", text))
    return [Lane("Faults", name, tuple(stretches)) for name, stretches in rows.items()]


def runs(probe: Series, state: Callable[[Event], tuple[State, str] | None]) -> list[Stretch]:
    """Return the stretches of neighbouring samples with the same state and text.

    `state` returns None for a sample that is not drawn. A sample stands for the time until the next
    one, but not for a gap in the schedule.
    """
    stretches: list[Stretch] = []
    samples = probe.samples
    for index, sample in enumerate(samples):
        until = samples[index + 1].t if index + 1 < len(samples) else sample.t + probe.interval
        if until - sample.t > probe.patience:
            until = sample.t + probe.interval
        now: tuple[State, str] | None = (
            ("unknown", "") if sample.get("ok") is None else state(sample)
        )
        if now is None:
            continue
        last = stretches[-1] if stretches else None
        if last and (last.state, last.text) == now and sample.t - last.end <= probe.interval * 0.5:
            stretches[-1] = Stretch(last.begin, until, last.state, last.text)
        else:
            stretches.append(Stretch(sample.t, until, *now))
    return stretches


def _named(group: str, probe: Series, holders: Callable[[Event], tuple[str, ...]]) -> list[Lane]:
    def holds(name: str) -> Callable[[Event], tuple[State, str] | None]:
        return lambda sample: ("on", "") if name in holders(sample) else None

    names = sorted({name for sample in probe.samples for name in holders(sample)})
    return [Lane(group, name, tuple(runs(probe, holds(name)))) for name in names]


def _leading(node: str, probe: Series) -> list[Lane]:
    def state(sample: Event) -> tuple[State, str] | None:
        led = leader_terms.claim(sample)
        return ("on", f"term {led[0]}") if led else None

    stretches = runs(probe, state)
    return (
        [Lane("etcd leader", node, tuple(stretches))]
        if any(stretch.state == "on" for stretch in stretches)
        else []
    )


def _nodes(probe: Series) -> list[Lane]:
    def mapping(sample: Event) -> dict[str, str]:
        value = sample.get("value")
        return (
            {str(key): str(each) for key, each in value.items()} if isinstance(value, dict) else {}
        )

    def state(name: str) -> Callable[[Event], tuple[State, str] | None]:
        def of(sample: Event) -> tuple[State, str] | None:
            condition = mapping(sample).get(name)
            if condition is None:
                return None
            return ("good" if condition == "Ready" else "bad"), condition

        return of

    names = sorted({name for sample in probe.samples for name in mapping(sample)})
    return [Lane("Nodes", name, tuple(runs(probe, state(name)))) for name in names]


def _answers(probe: Series, row: Outages) -> Iterable[Stretch]:
    """Yield a probe's outages and stalls, and the good stretches between them.

    They are made of the same outages as the table, so that picture and table agree.
    """
    end = probe.samples[-1].t + probe.interval
    marks: list[Stretch] = [
        Stretch(
            span.begin,
            end if span.open else min(span.end, end),
            "bad",
            f"out for {span.seconds:.2f} s",
        )
        for span in row.spans
    ]
    marks += [
        Stretch(begin, until, "unknown", "the instrument did not look")
        for begin, until in probe.stalls
    ]
    at = probe.samples[0].t
    for mark in sorted(marks, key=lambda each: each.begin):
        if mark.begin > at:
            yield Stretch(at, mark.begin, "good")
        yield Stretch(max(mark.begin, min(at, mark.end)), mark.end, mark.state, mark.text)
        at = max(at, mark.end)
    if at < end:
        yield Stretch(at, end, "good")


def thinned(stretches: tuple[Stretch, ...], least: float) -> tuple[Stretch, ...]:
    """Return at most MOST stretches: those shorter than `least` seconds joined with neighbours.

    Good and bad joined are mixed. `least` is doubled until there are few enough.
    """
    while len(stretches) > MOST:
        joined: list[Stretch] = []
        for each in stretches:
            last = joined[-1] if joined else None
            if (
                last
                and each.begin - last.end < least
                and min(each.end - each.begin, last.end - last.begin) < least
            ):
                state: State = last.state if last.state == each.state else "mixed"
                joined[-1] = Stretch(last.begin, each.end, state, "")
            else:
                joined.append(each)
        stretches = tuple(joined)
        least = least * 2 if least > 0 else math.ulp(1.0)
    return stretches
