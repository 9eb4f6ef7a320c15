"""Two runs side by side: how their settings differ, and how their figures do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis.format import seconds
from lab.analysis.report.build import figure_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.analysis.report.model import Report


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of a comparison: both values as text, and what changed from A to B."""

    name: str
    a: str
    b: str
    change: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, A and B."""

    a: Report
    b: Report
    about: tuple[Difference, ...]
    figures: tuple[Difference, ...]


def compare(a: Report, b: Report) -> Comparison:
    """Return two reports side by side.

    Of what the runs say of themselves, only what differs is listed, and not what always does: when
    they began, how long they lasted, how much was sampled.
    """
    left, right = dict(a.about), dict(b.about)
    differing = [
        key
        for key in {**left, **right}
        if left.get(key) != right.get(key) and key not in {"began", "lasted", "samples"}
    ]
    about = tuple(Difference(key, left.get(key, "-"), right.get(key, "-")) for key in differing)
    return Comparison(a, b, about, (*_rows(a, b), *_outages(a, b), *_phases(a, b)))


def _rows(a: Report, b: Report) -> Iterable[Difference]:
    left = {row.name: row for row in (*a.rows, *a.checked)}
    right = {row.name: row for row in (*b.rows, *b.checked)}
    for name in {**left, **right}:
        row_a, row_b = left.get(name), right.get(name)
        cell_a, cell_b = (
            f"{row.outcome} {figure_text(row)}".strip() if row else "-" for row in (row_a, row_b)
        )
        change = ""
        if row_a and row_b and row_a.outcome != row_b.outcome:
            change = f"{row_a.outcome} → {row_b.outcome}"
        yield Difference(name, cell_a, cell_b, change)


def _times(
    prefix: str, left: dict[str, tuple[float, float]], right: dict[str, tuple[float, float]]
) -> Iterable[Difference]:
    """Compare times; each comes with its resolution (both in seconds)."""
    for name in {**left, **right}:
        time_a, time_b = left.get(name), right.get(name)
        cell_a, cell_b = (
            f"{seconds(time[0])} ± {seconds(time[1])}" if time else "-" for time in (time_a, time_b)
        )
        change = _change(time_a, time_b) if time_a and time_b else ""
        yield Difference(f"{prefix} {name}", cell_a, cell_b, change)


def _change(a: tuple[float, float], b: tuple[float, float]) -> str:
    """Return how much longer or shorter B took than A, as text.

    A difference that both resolutions together can explain is none.
    """
    difference = b[0] - a[0]
    if abs(difference) <= a[1] + b[1]:
        return "the same within resolution"
    return f"{seconds(abs(difference))} {'longer' if difference > 0 else 'shorter'}"


def _outages(a: Report, b: Report) -> Iterable[Difference]:
    def longest(report: Report) -> dict[str, tuple[float, float]]:
        return {
            row.probe: (row.longest, row.interval)
            for row in report.outages
            if row.longest is not None
        }

    return _times("longest outage of", longest(a), longest(b))


def _phases(a: Report, b: Report) -> Iterable[Difference]:
    def slowest(report: Report) -> dict[str, tuple[float, float]]:
        return {row.name: (row.slowest, row.resolution) for row in report.phases}

    return _times("failover to", slowest(a), slowest(b))
