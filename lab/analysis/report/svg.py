"""The time-line as SVG, drawn here, so that a page needs no script and no other file."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from lab.analysis.format import seconds
from lab.analysis.history.failover_phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.analysis.history.failover_phases import FaultGroup
    from lab.analysis.report.model import Lane, Report

WIDTH, LABELS, RIGHT = 1100, 170, 16
ROW, BAR, HEADING, TOP = 19, 13, 22, 24
TICKS = 10
"""About so many times are written along the lanes."""
CLOSE_BEFORE_S, CLOSE_AFTER = 1.0, 0.25
"""A close-up begins this long before the fault. It ends this share of its length after the last
thing that it has to show."""
CLOSE_LEAST_S, CLOSE_MOST = 4.0, 3
"""The shortest close-up after the fault, and how many there are at most."""
LETTER = 6.6
"""The width of a letter in a bar, in the picture's units."""


def ticks(begin: float, end: float) -> list[float]:
    """Return about ten round times between two times, seconds."""
    rough = max(end - begin, 1e-6) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [
        step * number
        for number in range(math.ceil(begin / step - 1e-9), math.floor(end / step + 1e-9) + 1)
    ]


def grouped(lanes: Iterable[Lane]) -> list[tuple[str, list[Lane]]]:
    """Return (group, its lanes) for each group, in the order of the lanes."""
    groups: dict[str, list[Lane]] = {}
    for lane in lanes:
        groups.setdefault(lane.group, []).append(lane)
    return list(groups.items())


def timeline(
    lanes: tuple[Lane, ...],
    span: tuple[float, float],
    fault_groups: tuple[FaultGroup, ...],
    label: str,
) -> str:
    """Return an SVG of the lanes over a span of time, with a line where each group fired.

    `label` is read to people who cannot see the picture.
    """
    begin, end = span
    scale = (WIDTH - LABELS - RIGHT) / max(end - begin, 1e-6)

    def x(t: float) -> float:
        return round(LABELS + (min(max(t, begin), end) - begin) * scale, 1)

    body: list[str] = []
    y = TOP
    for group, members in grouped(lanes):
        y += HEADING
        body.append(f'<text class="group" x="4" y="{y - 7}">{escape(group)}</text>')
        for lane in members:
            body += _lane(lane, y, x, begin, end)
            y += ROW
    frame = [
        f'<path class="grid" d="M{x(t)} {TOP - 6}V{y}"/>'
        f'<text class="tick" x="{x(t)}" y="{TOP - 10}">{t:g} s</text>'
        for t in ticks(begin, end)
    ]
    marks = [
        f'<path class="fire" d="M{x(group.t)} {TOP - 6}V{y}">'
        f"<title>{escape(f'{group.t:.2f} s: {named(group)}')}</title></path>"
        for group in fault_groups
        if begin <= group.t <= end
    ]
    return _svg(y + 8, escape(label), [*frame, *body, *marks])


def _svg(height: int, label: str, parts: Iterable[str]) -> str:
    return (
        f'<svg class="timeline" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )


def _bar(kind: str, x: float, y: int, width: float, title: str) -> str:
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{BAR}">'
        f"<title>{title}</title></rect>"
    )


def _text(kind: str, x: float, y: int, text: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{text}</text>'


def _lane(lane: Lane, y: int, x: Callable[[float], float], begin: float, end: float) -> list[str]:
    parts = [_text("lane", LABELS - 8, y + BAR - 2, escape(lane.name))]
    for each in lane.stretches:
        if each.end < begin or each.begin > end:
            continue
        left, width = x(each.begin), max(1.0, round(x(each.end) - x(each.begin), 1))
        title = f"{lane.name}: {each.text or each.state}, {each.begin:.2f} to {each.end:.2f} s"
        parts.append(_bar(each.state, left, y, width, escape(title)))
        fits = 0 < len(each.text) * LETTER < width
        if fits and each.state in {"fault", "step", "bad", "on"}:
            kind = f"in {each.state}-text"
            parts.append(_text(kind, left + 4, y + BAR - 3, escape(each.text)))
    return parts


def named(group: FaultGroup) -> str:
    """Return a group's faults and nodes: `crash on m, m2`."""
    return f"{', '.join(group.faults)} on {', '.join(group.nodes)}"


def meaning(phase: str) -> str:
    """Return what a phase means, or its name if that is not known."""
    return PHASES.get(phase, phase)


def phases(group: FaultGroup) -> str:
    """Return an SVG of the phases after a fault, as bars that begin when it fired."""
    if not group.phases:
        return ""
    rows = sorted(group.phases, key=lambda phase: phase.seconds)
    label, right = 450, 90
    end = max(phase.seconds for phase in rows) or 1.0
    scale = (WIDTH - label - right) / end
    parts = []
    for number, phase in enumerate(rows):
        y = 6 + number * ROW
        width = max(2.0, round(phase.seconds * scale, 1))
        title = escape(f"{phase.detail} (± {seconds(phase.resolution)})")
        parts += [
            _text("lane", label - 8, y + BAR - 2, escape(meaning(phase.name))),
            _bar("phase", label, y, width, title),
            _text("value", label + width + 6, y + BAR - 2, seconds(phase.seconds)),
        ]
    return _svg(len(rows) * ROW + 12, escape(f"phases after {named(group)}"), parts)


def closeups(report: Report) -> list[tuple[str, str]]:
    """Return (title, SVG) for the time around each of the first faults.

    A fault has none if the time-line of the whole run shows it well enough.
    """
    drawings = []
    for group in report.fault_groups[:CLOSE_MOST]:
        begin = max(0.0, group.t - CLOSE_BEFORE_S)
        end = min(report.span[1], group.t + _reach(report, group) * (1 + CLOSE_AFTER))
        if (end - begin) * 2 < report.span[1] - report.span[0]:
            title = f"{named(group)} at {group.t:.2f} s, from {begin:.1f} to {end:.1f} s"
            lanes = tuple(
                lane
                for lane in report.lanes
                if any(each.begin < end and each.end > begin for each in lane.stretches)
            )
            drawings.append((title, timeline(lanes, (begin, end), report.fault_groups, title)))
    return drawings


def _reach(report: Report, group: FaultGroup) -> float:
    """Return how long after a fault a close-up has something to show, seconds.

    That is until the last phase (those of nodes, endpoints and pods come much later and are left
    out), and until the last outage ends, if that takes less than four times as long.
    """
    ends = [
        phase.seconds
        for phase in group.phases
        if phase.name not in {"not_ready", "endpoint", "pods"}
    ]
    least = max([CLOSE_LEAST_S, *ends])
    answers = (lane.stretches for lane in report.lanes if lane.group == "Answers")
    outages = [
        stretch.end - group.t
        for stretches in answers
        for stretch in stretches
        if stretch.state == "bad" and _follows(stretch.begin, group)
    ]
    return max([least, *(after for after in outages if after < 4 * least)])


def _follows(t: float, group: FaultGroup) -> bool:
    return group.t - CLOSE_BEFORE_S <= t < group.until
