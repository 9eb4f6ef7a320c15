"""What a learner does with a lesson: begin it, check a step, go on, ask for a hint, start over."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lab.base.errors import InputError, LabError
from lab.base.progress import Silent
from lab.base.wait import Observation, tried, until
from lab.chaos.healing import Healer
from lab.chaos.lab_faults import LabFaults
from lab.lessons import checks, lab_view, shell
from lab.lessons.lab_view import LabView
from lab.lessons.record import LessonProgress
from lab.lifecycle.start import start
from lab.live import steady_state
from lab.scenarios.context import STEADY_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.base.progress import Reporter
    from lab.lessons.checks import CheckAnswer
    from lab.lessons.model import Lesson, LessonStep
    from lab.live.lab import Lab
    from lab.topology.model import Topology

EVERY_S = 1.0
"""How often a check that waits looks again; one look takes some tenths of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAnswer:
    """The checks' answers to one look at the lab."""

    answers: tuple[CheckAnswer, ...]
    lost: tuple[CheckAnswer, ...] = ()
    """Why only a reset helps; empty if the step can still be done."""

    @property
    def ok(self) -> bool:
        """Whether all checks pass."""
        return all(answer.ok for answer in self.answers)


def fits(lab: Lab, topology: Topology) -> None:
    """Raise InputError if a lab has not the machines of a lesson's topology."""
    machines, needed = (
        {node.name: node.role.value for node in one.machines} for one in (lab.topology, topology)
    )
    if machines != needed:
        what = f"lab {lab.name} has other machines than the lesson needs"
        hint = f"it needs {', '.join(needed)}; `--lab NAME` makes or takes another lab"
        raise InputError(what, hint)


def begin(lab: Lab, lesson: Lesson) -> LessonProgress:
    """Return the progress of a lesson that begins now, on a lab that runs."""
    now = time.time()
    progress = LessonProgress(lesson=lesson.name, lab=lab.name, began=now, step_began=now)
    view = LabView(lab, progress)
    progress.former = lab_view.former(view)
    progress.first_term = progress.former.term
    return progress


def enter(lab: Lab, progress: LessonProgress, step: int) -> None:
    """Go to a step, and note who does what in the lab, if it is whole."""
    progress.enter(step)
    progress.former = lab_view.former(LabView(lab, progress))


def step_of(lesson: Lesson, progress: LessonProgress) -> LessonStep:
    """Return the step that is being done. Raises InputError after the last one."""
    if progress.step >= len(lesson.steps):
        again = f"`halab lesson reset` starts {lesson.name} over, `halab lesson list` has others"
        raise InputError(f"lesson {lesson.name} is finished", again)
    return lesson.steps[progress.step]


def look(lab: Lab, lesson: Lesson, progress: LessonProgress) -> StepAnswer:
    """Look at the lab once, for the step that is being done."""
    view = LabView(lab, progress)
    answers = checks.ask(view, step_of(lesson, progress).checks)
    if all(answer.ok for answer in answers):
        return StepAnswer(answers=answers)
    lost = [answer for answer in checks.ask(view, lesson.unrecoverable) if answer.ok]
    return StepAnswer(answers=answers, lost=tuple(lost))


def look_until(
    lab: Lab,
    lesson: Lesson,
    progress: LessonProgress,
    timeout_s: float,
    on_change: Callable[[str], None] = lambda _: None,
) -> StepAnswer:
    """Look again and again until all checks pass, or nothing but a reset helps, or time is up."""
    end, last = time.monotonic() + timeout_s, ""
    while True:
        answer = look(lab, lesson, progress)
        if answer.ok or answer.lost or time.monotonic() >= end:
            return answer
        missing = "; ".join(one.check for one in answer.answers if not one.ok)
        if missing != last:
            last = missing
            on_change(f"not yet: {missing}")
        time.sleep(EVERY_S)


def make_whole(lab: Lab, reporter: Reporter | None = None) -> None:
    """Heal all faults, power on what is off, and wait until the lab is steady.

    Raises LabError.
    """
    reporter = reporter or Silent()
    healer = Healer(LabFaults(lab))
    healed = healer.heal()
    if healed:
        reporter.say(
            lab.name, f"healed {', '.join(f'{one.fault} at {one.node}' for one in healed)}"
        )
    healer.rejoin(healed, partial(reporter.say, lab.name))
    if not steady_state.steady(lab).ok:
        start(lab)
    until(
        f"lab {lab.name} is whole",
        lambda: tried(partial(_steady, lab)),
        timeout_s=STEADY_TIMEOUT_S,
        on_change=partial(reporter.say, lab.name),
    )


def _steady(lab: Lab) -> Observation:
    return steady_state.steady(lab)


def clean(lab: Lab, lesson: Lesson) -> None:
    """Remove what the lesson made in the cluster. Raises LabError if a command fails."""
    with shell.open_shell(lab) as run:
        for command in lesson.cleanup:
            run(command)


def restore(lab: Lab, lesson: Lesson, reporter: Reporter | None = None) -> None:
    """Make the lab whole, and remove what the lesson made; the latter even if the former fails.

    Raises LabError: the first one, which is the reason for the second.
    """
    try:
        make_whole(lab, reporter)
    except LabError:
        with contextlib.suppress(LabError):
            clean(lab, lesson)
        raise
    clean(lab, lesson)


def next_hint(lesson: Lesson, progress: LessonProgress) -> tuple[int, str]:
    """Return the number and text of the next hint, and count it; the last one comes again."""
    hints = step_of(lesson, progress).hints
    number = min(progress.hints, len(hints) - 1)
    progress.hints = number + 1
    return number + 1, hints[number]


def go_on(lab: Lab, lesson: Lesson, progress: LessonProgress, *, skip: bool = False) -> None:
    """Go to the next step. Raises InputError if this one has not passed, unless `skip`."""
    step = step_of(lesson, progress)
    if step.name not in progress.passed and not skip:
        raise InputError(
            f"step `{step.name}` has not passed yet",
            "`halab lesson check` looks, `halab lesson hint` helps, `next --skip` leaves it out",
        )
    enter(lab, progress, progress.step + 1)
