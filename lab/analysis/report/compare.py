"""Two runs side by side: what they say of themselves differently, and how their figures differ."""

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
    """A line of a comparison: both values for people, and what changed from A to B."""

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
    """Put two runs side by side."""
    left, right = dict(a.about), dict(b.about)
    told = [
        key
        for key in {**left, **right}
        if left.get(key) != right.get(key) and key not in {"began", "lasted", "samples"}
    ]
    about = tuple(Difference(key, left.get(key, "-"), right.get(key, "-")) for key in told)
    return Comparison(a, b, about, (*_rows(a, b), *_outages(a, b), *_phases(a, b)))


def _rows(a: Report, b: Report) -> Iterable[Difference]:
    left, right = (
        {row.name: row for row in (*a.rows, *a.checked)},
        {row.name: row for row in (*b.rows, *b.checked)},
    )
    for name in {**left, **right}:
        mine, other = left.get(name), right.get(name)
        cell, cell_b = (
            f"{row.outcome} {figure_text(row)}".strip() if row else "-" for row in (mine, other)
        )
        change = (
            ""
            if mine is None or other is None or mine.outcome == other.outcome
            else f"{mine.outcome} → {other.outcome}"
        )
        yield Difference(name, cell, cell_b, change)


def _times(
    prefix: str, left: dict[str, tuple[float, float]], right: dict[str, tuple[float, float]]
) -> Iterable[Difference]:
    """Compare times with their resolutions."""
    for name in {**left, **right}:
        mine, other = left.get(name), right.get(name)
        cell, cell_b = (
            f"{seconds(each[0])} ± {seconds(each[1])}" if each else "-" for each in (mine, other)
        )
        yield Difference(
            f"{prefix} {name}", cell, cell_b, _change(mine, other) if mine and other else ""
        )


def _change(mine: tuple[float, float], other: tuple[float, float]) -> str:
    """Say how much longer or shorter; what both resolutions together could explain is no difference."""
    difference = other[0] - mine[0]
    if abs(difference) <= mine[1] + other[1]:
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
