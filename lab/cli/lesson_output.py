"""What the commands of lessons print: steps, checks, figures; and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from lab.cli import output as out
from lab.cli.verbosity import hint
from lab.lessons import debrief
from lab.lessons.checks import WRONG_ANSWER
from lab.lessons.lab_view import LabView
from lab.lessons.model import with_names

if TYPE_CHECKING:
    from lab.lessons.debrief import DebriefRow
    from lab.lessons.desk import StepAnswer
    from lab.lessons.model import Lesson
    from lab.lessons.record import LessonProgress
    from lab.live.lab import Lab


def state(lesson: Lesson, progress: LessonProgress | None) -> str:
    """Return how far a learner is, for the list."""
    if progress is None:
        return "-"
    if progress.step >= len(lesson.steps):
        return "finished"
    return f"step {progress.step + 1} of {len(lesson.steps)} in lab {progress.lab}"


def plain(lesson: Lesson, progress: LessonProgress | None) -> dict[str, Any]:
    """Return a lesson for JSON."""
    return {
        "name": lesson.name,
        "title": lesson.title,
        "objective": lesson.objective,
        "minutes": lesson.minutes,
        "trains": lesson.trains,
        "topology": lesson.topology,
        "steps": [step.name for step in lesson.steps],
        "path": str(lesson.folder),
        "progress": asdict(progress) if progress else None,
    }


def show_checks(result: StepAnswer, lab: str) -> None:
    """Print what checks say, and what to do next."""
    for answer in result.answers:
        click.echo(f"{'passed' if answer.ok else 'not yet'}  {answer.check}: {answer.seen}")
    good = sum(answer.ok for answer in result.answers)
    click.echo(f"{good} of {len(result.answers)} checks passed")
    for answer in result.lost:
        click.echo(f"cannot be done any more: {answer.check}: {answer.seen}")
    if result.ok:
        hint("go on: halab lesson next")
    elif result.lost:
        hint("only starting again helps: halab lesson reset")
    else:
        if any(answer.seen.endswith(WRONG_ANSWER) for answer in result.answers):
            hint(f"to change an answer: halab kubectl {lab} -- edit configmap lesson")
        hint("halab lesson hint helps; halab lesson check --wait 1m looks until it passes")


def named(lab: Lab, text: str) -> str:
    """Return a text with the lab's own names."""
    return with_names(text, lab.name, str(lab.topology.network.vip))


def step_answer(lab: Lab, lesson: Lesson, mine: LessonProgress) -> dict[str, Any]:
    """Return the step that is being done, for JSON; after the last one, the debrief."""
    answer: dict[str, Any] = {"lesson": lesson.name, "lab": lab.name, "of": len(lesson.steps)}
    if mine.step >= len(lesson.steps):
        rows = [asdict(row) for row in _figures(lab, lesson, mine)]
        return {**answer, "step": None, "text": named(lab, lesson.debrief), "figures": rows}
    step = lesson.steps[mine.step]
    look = [named(lab, command) for command in step.look]
    return {
        **answer,
        "step": step.name,
        "number": mine.step + 1,
        "text": named(lab, step.text),
        "look": look,
        "passed": step.name in mine.passed,
    }


def show_step(lab: Lab, lesson: Lesson, mine: LessonProgress) -> None:
    """Print the step that is being done; after the last one, the debrief."""
    if mine.step >= len(lesson.steps):
        click.echo(f"Debrief of {lesson.title}\n\n{named(lab, lesson.debrief)}\n")
        show_figures(_figures(lab, lesson, mine))
        return
    step = lesson.steps[mine.step]
    click.echo(f"Step {mine.step + 1} of {len(lesson.steps)}: {step.name}\n")
    click.echo(named(lab, step.text))
    if step.look:
        click.echo("\nLook at it:")
    for command in step.look:
        click.echo(f"    {named(lab, command)}")
    hint("\nwhen you are done: halab lesson check")


def _figures(lab: Lab, lesson: Lesson, mine: LessonProgress) -> tuple[DebriefRow, ...]:
    return debrief.rows(LabView(lab, mine), lesson)


def show_figures(figures: tuple[DebriefRow, ...]) -> None:
    """Print the learner's figures beside the report's; nothing if there are none."""
    if figures:
        rows = [[row.name, row.yours, row.report] for row in figures]
        out.wrapped(["WHAT", "YOUR LAB", "THE REPORT"], rows)
