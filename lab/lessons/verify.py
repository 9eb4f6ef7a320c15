"""Plays a lesson: in each step the checks fail, the solution is run, and the checks pass."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lab.base.errors import LabError
from lab.lessons import debrief, desk, shell
from lab.lessons.lab_view import LabView

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.base.progress import Reporter
    from lab.lessons.debrief import DebriefRow
    from lab.lessons.desk import StepAnswer
    from lab.lessons.model import Lesson, LessonStep
    from lab.lessons.record import LessonProgress
    from lab.live.lab import Lab


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedStep:
    """How a step was played."""

    step: str
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedLesson:
    """How a lesson was played: its steps until the first that failed, and its debrief."""

    lesson: str
    lab: str
    steps: tuple[PlayedStep, ...]
    figures: tuple[DebriefRow, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every step was as it should be."""
        return all(step.ok for step in self.steps)


def play(lab: Lab, lesson: Lesson, reporter: Reporter) -> PlayedLesson:
    """Play a lesson on a steady lab; leave that whole and clean. The learner's progress stays.

    Raises LabError if the lab cannot be made whole afterwards.
    """
    played: list[PlayedStep] = []
    figures: tuple[DebriefRow, ...] = ()
    progress = desk.begin(lab, lesson)
    try:
        with shell.open_shell(lab) as run:
            for index in range(len(lesson.steps)):
                played.append(_play(lab, lesson, progress, index, run, reporter))
                if not played[-1].ok:
                    break
            else:
                figures = debrief.rows(LabView(lab, progress), lesson)
    finally:
        desk.restore(lab, lesson, reporter)
    return PlayedLesson(lesson=lesson.name, lab=lab.name, steps=tuple(played), figures=figures)


def _play(
    lab: Lab,
    lesson: Lesson,
    progress: LessonProgress,
    index: int,
    run: Callable[[str], str],
    reporter: Reporter,
) -> PlayedStep:
    step, begin = lesson.steps[index], time.monotonic()
    desk.enter(lab, progress, index)
    say = partial(reporter.say, step.name)
    try:
        wrong = _carry_out(lab, lesson, progress, step, run, say)
    except LabError as error:
        wrong = str(error)
    seconds = time.monotonic() - begin
    detail = wrong or "the checks failed before the solution, and passed after it"
    if not wrong:
        progress.passed.append(step.name)
        reporter.done(step.name, detail)
    else:
        say(f"failed: {wrong}")
    return PlayedStep(step=step.name, ok=not wrong, detail=detail, seconds=round(seconds, 1))


def _carry_out(
    lab: Lab,
    lesson: Lesson,
    progress: LessonProgress,
    step: LessonStep,
    run: Callable[[str], str],
    say: Callable[[str], None],
) -> str:
    """Look, run the solution, and look again; return what is wrong, or ""."""
    before = desk.look(lab, lesson, progress)
    if before.ok:
        return "its checks pass before anything was done"
    if before.lost:
        return f"cannot be done any more, before anything was done: {_reasons(before)}"
    for command in step.solution:
        say(command)
        run(command)
    after = desk.look_until(lab, lesson, progress, step.timeout_ms / 1000, say)
    if after.lost:
        return f"cannot be done any more, after its solution: {_reasons(after)}"
    return "" if after.ok else f"its checks do not pass after its solution: {_reasons(after)}"


def _reasons(answer: StepAnswer) -> str:
    rows = answer.lost or [one for one in answer.answers if not one.ok]
    return "; ".join(f"{one.check} ({one.seen})" for one in rows)
