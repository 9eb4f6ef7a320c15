"""The debrief: what the learner's own lab did, beside what the report says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis.format import with_resolution
from lab.base.errors import LabError
from lab.lessons import past_runs
from lab.measure import journals
from lab.measure.journal_events import milestone
from lab.topology.expectation import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.lessons.lab_view import LabView
    from lab.lessons.model import DebriefFigure, Lesson
    from lab.measure.journal_events import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class DebriefRow:
    """One figure: the learner's own, and the report's."""

    name: str
    yours: str
    report: str


def rows(view: LabView, lesson: Lesson) -> tuple[DebriefRow, ...]:
    """Return all figures of a lesson. One that was not measured says why."""
    journal: list[Entry] = []
    if any(any(figure.journal) for figure in lesson.figures):
        journal = _journal(view)
    return tuple(_row(view, figure, journal) for figure in lesson.figures)


def _row(view: LabView, figure: DebriefFigure, journal: Iterable[Entry]) -> DebriefRow:
    try:
        yours = _yours(view, figure, journal)
    except LabError as error:
        yours = f"not measured: {error.message}"
    return DebriefRow(name=figure.name, yours=yours, report=figure.report)


def _yours(view: LabView, figure: DebriefFigure, journal: Iterable[Entry]) -> str:
    if figure.scenario:
        return _of_run(view, figure)
    if figure.terms:
        return str(max(0, view.term - view.progress.first_term))
    seconds = between(journal, *figure.journal)
    return f"{seconds:.2f} s" if seconds is not None else "not in the journals"


def _of_run(view: LabView, figure: DebriefFigure) -> str:
    run = past_runs.latest(view.lab.name, figure.scenario, view.progress.began)
    if run is None:
        return f"not measured: `{figure.scenario}` was not run"
    # Any limit will do: it is the figure that is wanted, not the verdict.
    verdict = past_runs.figure(run, parse(f"{figure.figure} >= 0"))
    measured = next((one for one in verdict.figures if one.name == figure.figure), None)
    if measured is None or measured.value is None:
        return f"not measured: {'; '.join(verdict.reasons)}"
    return with_resolution(measured)


def _journal(view: LabView) -> list[Entry]:
    """Return what the masters wrote since the lesson began, in the order of their clock."""
    masters = [view.lab.node(node.name) for node in view.lab.topology.masters]
    images = [item.image for item in view.lab.observe().containers if item.image]
    if not images:
        return []
    collected = journals.collect(view.lab.engine, masters, images[0], view.progress.began, 0.0)
    return sorted(collected.entries, key=lambda entry: entry.t)


def between(journal: Iterable[Entry], begin: str, end: str) -> float | None:
    """Return the seconds from the last `begin` that an `end` followed to the first such `end`.

    Entries are in the order of their clock. None if there is no such pair.
    """
    since: float | None = None
    seconds: float | None = None
    for entry in journal:
        stage = milestone(entry)
        if stage == begin:
            since = entry.t
        elif stage == end and since is not None:
            seconds, since = entry.t - since, None
    return seconds
