"""The lanes of the time-line, made of few stretches whatever the number of samples."""

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
"""A stretch shorter than this part of the run is not seen on a page."""
MOST = 150
"""With more stretches than this, a lane's short ones are joined with their neighbours."""


def lanes(history: History, measured: dict[str, Outages]) -> tuple[Lane, ...]:
    """Return all lanes of a run (`measured`: its outages), in the order in which they are shown."""
    probes = series(history)
    span = history.span
    rows = [*_steps(history, span[1]), *_faults(history, span[1])]
    if vip_holders.PROBE in probes:
        rows += _named("VIP holder", probes[vip_holders.PROBE], vip_holders.holders)
    members = {
        name: found for name, found in probes.items() if name.startswith(f"{leader_terms.PREFIX}.")
    }
    rows += [
        lane
        for name, found in members.items()
        for lane in _leading(name.removeprefix(f"{leader_terms.PREFIX}."), found)
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
        word = str(fire.get("word") or "")
        told = f"{fire.get('fault')} on {fire.get('node')}" + (
            f" ({word})" if word and word != fire.get("node") else ""
        )
        rows.setdefault(str(fire.get("fault")), []).append(
            Stretch(fire.t, min((t for t in ends if t >= fire.t), default=end), "fault", told)
        )
    return [Lane("Faults", name, tuple(stretches)) for name, stretches in rows.items()]


def runs(found: Series, state: Callable[[Event], tuple[State, str] | None]) -> list[Stretch]:
    """Join neighbouring samples of the same state.

    A sample stands for the time until the next one, but not for a hole in the schedule.
    """
    stretches: list[Stretch] = []
    samples = found.samples
    for index, sample in enumerate(samples):
        until = samples[index + 1].t if index + 1 < len(samples) else sample.t + found.interval
        if until - sample.t > found.patience:
            until = sample.t + found.interval
        now: tuple[State, str] | None = (
            ("unknown", "") if sample.get("ok") is None else state(sample)
        )
        if now is None:
            continue
        last = stretches[-1] if stretches else None
        if last and (last.state, last.text) == now and sample.t - last.end <= found.interval * 0.5:
            stretches[-1] = Stretch(last.begin, until, last.state, last.text)
        else:
            stretches.append(Stretch(sample.t, until, *now))
    return stretches


def _named(group: str, found: Series, holders: Callable[[Event], tuple[str, ...]]) -> list[Lane]:
    def holds(name: str) -> Callable[[Event], tuple[State, str] | None]:
        return lambda sample: ("on", "") if name in holders(sample) else None

    names = sorted({name for sample in found.samples for name in holders(sample)})
    return [Lane(group, name, tuple(runs(found, holds(name)))) for name in names]


def _leading(node: str, found: Series) -> list[Lane]:
    def state(sample: Event) -> tuple[State, str] | None:
        led = leader_terms.claim(sample)
        return ("on", f"term {led[0]}") if led else None

    stretches = runs(found, state)
    return (
        [Lane("etcd leader", node, tuple(stretches))]
        if any(stretch.state == "on" for stretch in stretches)
        else []
    )


def _nodes(found: Series) -> list[Lane]:
    def mapping(sample: Event) -> dict[str, str]:
        value = sample.get("value")
        return (
            {str(key): str(each) for key, each in value.items()} if isinstance(value, dict) else {}
        )

    def state(name: str) -> Callable[[Event], tuple[State, str] | None]:
        def of(sample: Event) -> tuple[State, str] | None:
            told = mapping(sample).get(name)
            return None if told is None else ("good", "Ready") if told == "Ready" else ("bad", told)

        return of

    names = sorted({name for sample in found.samples for name in mapping(sample)})
    return [Lane("Nodes", name, tuple(runs(found, state(name)))) for name in names]


def _answers(found: Series, row: Outages) -> Iterable[Stretch]:
    """Return the stretches between a probe's outages and stalls, so that the picture and the table say the same."""
    end = found.samples[-1].t + found.interval
    marks: list[Stretch] = [
        Stretch(
            span.begin, min(span.end, end) if not span.open else end, "bad", _told(span.seconds)
        )
        for span in row.spans
    ]
    marks += [
        Stretch(begin, until, "unknown", "the instrument did not look")
        for begin, until in found.stalls
    ]
    at = found.samples[0].t
    for mark in sorted(marks, key=lambda each: each.begin):
        if mark.begin > at:
            yield Stretch(at, mark.begin, "good")
        yield Stretch(max(mark.begin, min(at, mark.end)), mark.end, mark.state, mark.text)
        at = max(at, mark.end)
    if at < end:
        yield Stretch(at, end, "good")


def _told(seconds: float) -> str:
    return f"out for {seconds:.2f} s"


def thinned(stretches: tuple[Stretch, ...], least: float) -> tuple[Stretch, ...]:
    """Join what is too short to be seen with what stands beside it, where there is much of it: good and bad together are mixed."""
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
