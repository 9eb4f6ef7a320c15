"""The time-line as SVG: drawn by hand, so that a page needs no script and nothing from elsewhere."""

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
"""About so many times are written under the lanes."""
CLOSE_BEFORE_S, CLOSE_AFTER = 1.0, 0.25
"""A close-up begins so long before the fault, and ends this part of its length after the last thing
that is told."""
CLOSE_LEAST_S, CLOSE_MOST = 4.0, 3
LETTER = 6.6
"""Width of a letter in a bar, in the picture's units."""


def ticks(begin: float, end: float) -> list[float]:
    """Return round times between two times, about ten."""
    rough = max(end - begin, 1e-6) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [
        step * number
        for number in range(math.ceil(begin / step - 1e-9), math.floor(end / step + 1e-9) + 1)
    ]


def grouped(lanes: Iterable[Lane]) -> list[tuple[str, list[Lane]]]:
    """Put lanes under the names of their groups, in order."""
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
    """Draw lanes from one time to another, with a line where faults fired."""
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
        f'<path class="grid" d="M{x(t)} {TOP - 6}V{y}"/><text class="tick" x="{x(t)}" y="{TOP - 10}">{t:g} s</text>'
        for t in ticks(begin, end)
    ]
    marks = [
        f'<path class="fire" d="M{x(group.t)} {TOP - 6}V{y}"><title>{escape(f"{group.t:.2f} s: {named(group)}")}</title></path>'
        for group in fault_groups
        if begin <= group.t <= end
    ]
    head = f'<svg class="timeline" viewBox="0 0 {WIDTH} {y + 8}" role="img" aria-label="{escape(label)}">'
    return "".join([head, *frame, *body, *marks, "</svg>"])


def _lane(lane: Lane, y: int, x: Callable[[float], float], begin: float, end: float) -> list[str]:
    parts = [f'<text class="lane" x="{LABELS - 8}" y="{y + BAR - 2}">{escape(lane.name)}</text>']
    for each in lane.stretches:
        if each.end < begin or each.begin > end:
            continue
        left, width = x(each.begin), max(1.0, round(x(each.end) - x(each.begin), 1))
        told = f"{lane.name}: {each.text or each.state}, {each.begin:.2f} to {each.end:.2f} s"
        parts.append(
            f'<rect class="{each.state}" x="{left}" y="{y}" width="{width}" height="{BAR}"><title>{escape(told)}</title></rect>'
        )
        if (
            each.text
            and each.state in {"fault", "step", "bad", "on"}
            and len(each.text) * LETTER < width
        ):
            parts.append(
                f'<text class="in {each.state}-text" x="{left + 4}" y="{y + BAR - 3}">{escape(each.text)}</text>'
            )
    return parts


def named(group: FaultGroup) -> str:
    """Say what hit whom."""
    return f"{', '.join(group.faults)} on {', '.join(group.nodes)}"


def meaning(phase: str) -> str:
    """Say what a phase is."""
    return PHASES.get(phase, phase)


def phases(group: FaultGroup) -> str:
    """Draw the phases after a fault as bars that begin when it fired."""
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
        parts.append(
            f'<text class="lane" x="{label - 8}" y="{y + BAR - 2}">{escape(meaning(phase.name))}</text>'
        )
        parts.append(
            f'<rect class="phase" x="{label}" y="{y}" width="{width}" height="{BAR}"><title>{title}</title></rect>'
        )
        parts.append(
            f'<text class="value" x="{label + width + 6}" y="{y + BAR - 2}">{seconds(phase.seconds)}</text>'
        )
    told = escape(f"phases after {named(group)}")
    return f'<svg class="timeline" viewBox="0 0 {WIDTH} {len(rows) * ROW + 12}" role="img" aria-label="{told}">{"".join(parts)}</svg>'


def closeups(report: Report) -> list[tuple[str, str]]:
    """Return title and drawing of the time around the first faults, where the whole run is too long to show it."""
    found = []
    for group in report.fault_groups[:CLOSE_MOST]:
        answers = [
            stretch
            for lane in report.lanes
            if lane.group == "Answers"
            for stretch in lane.stretches
        ]
        ends = [
            stretch.end
            for stretch in answers
            if stretch.state == "bad" and _follows(stretch.begin, group)
        ]
        last = max(
            [
                phase.seconds
                for phase in group.phases
                if phase.name not in {"not_ready", "endpoint", "pods"}
            ],
            default=0.0,
        )
        reach = max(
            CLOSE_LEAST_S,
            last,
            *(end - group.t for end in ends if end - group.t < 4 * max(last, CLOSE_LEAST_S)),
            0.0,
        )
        begin, end = (
            max(0.0, group.t - CLOSE_BEFORE_S),
            min(report.span[1], group.t + reach * (1 + CLOSE_AFTER)),
        )
        if (end - begin) * 2 < report.span[1] - report.span[0]:
            title = f"{named(group)} at {group.t:.2f} s, from {begin:.1f} to {end:.1f} s"
            seen = tuple(
                lane
                for lane in report.lanes
                if any(each.begin < end and each.end > begin for each in lane.stretches)
            )
            found.append((title, timeline(seen, (begin, end), report.fault_groups, title)))
    return found


def _follows(t: float, group: FaultGroup) -> bool:
    return group.t - CLOSE_BEFORE_S <= t < group.until
