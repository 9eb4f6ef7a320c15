"""A learner's way through a lesson, its progress, and the play that proves the lesson."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lab.base.errors import CommandFailed, InputError, LabError, WaitTimeout
from lab.base.locks import Lock
from lab.base.progress import Silent
from lab.base.wait import Observation, until
from lab.lessons import debrief, desk, lab_view, record, shell, verify
from lab.lessons.checks import CheckAnswer
from lab.lessons.desk import StepAnswer
from lab.lessons.model import Lesson, LessonStep, with_names
from lab.lessons.record import Former, LessonProgress

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = tuple(
    LessonStep(name=name, text="t", hints=("nudge", "answer"), solution=(f"solve {name}",))
    for name in ("first", "second")
)
LESSON = Lesson(
    name="x",
    title="T",
    objective="O",
    topology="3m3w",
    overrides=(),
    minutes=10,
    trains=(),
    text="",
    steps=STEPS,
    unrecoverable=(),
    cleanup=("clean LAB",),
    debrief="",
    figures=(),
    folder=Path(),
)
LAB: Any = SimpleNamespace(
    name="x", topology=SimpleNamespace(network=SimpleNamespace(vip="172.30.0.50"))
)


def passed(*, ok: bool = True, lost: bool = False) -> StepAnswer:
    one = CheckAnswer(check="vip moved", ok=ok, seen="held by m")
    return StepAnswer(answers=(one,), lost=(replace(one, ok=True),) if lost else ())


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_view, "former", lambda _: Former(holder="m", leader="m2", term=3))
    monkeypatch.setattr(desk, "EVERY_S", 0.001)


# --- progress ---


def test_progress_survives_and_the_newest_is_the_current_one() -> None:
    with pytest.raises(InputError, match="no lesson was started"):
        record.current()
    for lesson, lab in (("a", "one"), ("b", "two")):
        record.write(LessonProgress(lesson=lesson, lab=lab, step=1, passed=["first"]))
    newest = record._path("one", "a")
    newest.touch()
    later = record._path("two", "b").stat().st_mtime + 5
    import os

    os.utime(newest, (later, later))
    assert record.current().lesson == "a"
    assert record.current("two").passed == ["first"]
    assert record.read("one", "b") is None
    assert newest.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="in lab three"):
        record.current("three")


def test_spoiled_progress_is_as_none() -> None:
    record.write(LessonProgress(lesson="a", lab="one"))
    record._path("one", "a").write_text("{")
    assert record.read("one", "a") is None
    assert record.all_of() == []


def test_two_at_once_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lab.base import locks

    monkeypatch.setattr(locks, "place", lambda: tmp_path)
    monkeypatch.setattr(record, "WAIT_S", 0.01)
    other = Lock("x", "lesson")
    assert other.acquire()
    with pytest.raises(LabError, match="another `halab lesson` is at work in lab x"):
        record.locked("x").__enter__()
    other.release()
    with record.locked("x"):
        pass


def test_hints_come_one_after_the_other_and_the_last_again() -> None:
    progress = desk.begin(LAB, LESSON)
    given = [desk.next_hint(LESSON, progress) for _ in range(3)]
    assert given == [(1, "nudge"), (2, "answer"), (2, "answer")]


def test_a_step_that_has_not_passed_is_not_left() -> None:
    progress = desk.begin(LAB, LESSON)
    assert progress.former.holder == "m"
    assert progress.first_term == 3
    with pytest.raises(InputError, match="step `first` has not passed yet"):
        desk.go_on(LAB, LESSON, progress)
    desk.go_on(LAB, LESSON, progress, skip=True)
    progress.passed.append("second")
    progress.hints = 1
    desk.go_on(LAB, LESSON, progress)
    assert (progress.step, progress.hints) == (2, 0)
    with pytest.raises(InputError, match="lesson x is finished"):
        desk.go_on(LAB, LESSON, progress)


def test_a_lab_of_another_shape_is_refused() -> None:
    def shaped(*names: str) -> Any:
        machines = [SimpleNamespace(name=n, role=SimpleNamespace(value="master")) for n in names]
        return SimpleNamespace(machines=machines)

    lab: Any = SimpleNamespace(name="x", topology=shaped("m"))
    desk.fits(lab, shaped("m"))
    with pytest.raises(InputError, match="other machines than the lesson needs"):
        desk.fits(lab, shaped("m", "m2"))


# --- looking ---


def test_a_wait_ends_when_the_checks_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([passed(ok=False), passed(ok=False), passed()])
    monkeypatch.setattr(desk, "look", lambda *_: next(answers))
    said: list[str] = []
    found = desk.look_until(LAB, LESSON, desk.begin(LAB, LESSON), 60, said.append)
    assert found.ok
    assert said == ["not yet: vip moved"]


def test_a_wait_ends_at_once_when_only_a_reset_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "look", lambda *_: passed(ok=False, lost=True))
    assert desk.look_until(LAB, LESSON, desk.begin(LAB, LESSON), 60).lost


def test_unrecoverable_is_asked_only_of_a_step_that_has_not_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def ask(_: Any, wanted: Any) -> tuple[CheckAnswer, ...]:
        asked.append(wanted)
        return passed(ok=bool(wanted)).answers

    monkeypatch.setattr(desk.checks, "ask", ask)
    lesson: Any = replace(LESSON, unrecoverable=("lost",))
    found = desk.look(LAB, lesson, desk.begin(LAB, lesson))
    assert (found.ok, len(found.lost), asked) == (False, 1, [(), ("lost",)])


# --- verify ---


class Play:
    """A double of the lab and its shell: a step's checks pass once its solution was run."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.wrong = ""
        self.lock = threading.Lock()

    def look(self, _: Any, lesson: Lesson, progress: LessonProgress) -> StepAnswer:
        name = lesson.steps[progress.step].name
        done = f"solve {name}" in self.ran
        if self.wrong == "passes before":
            return passed()
        if self.wrong == "lost":
            return passed(ok=False, lost=done)
        return passed(ok=done and self.wrong != "no effect")

    def run(self, command: str) -> str:
        if self.wrong == "command fails":
            raise CommandFailed("this machine", (command,), 1, "boom")
        self.ran.append(command)
        return ""


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Play:
    import contextlib

    double = Play()
    monkeypatch.setattr(desk, "look", double.look)
    monkeypatch.setattr(desk, "make_whole", lambda *_: double.ran.append("whole"))
    monkeypatch.setattr(shell, "open_shell", lambda _: contextlib.nullcontext(double.run))
    monkeypatch.setattr(debrief, "rows", lambda *_: ())
    return double


def play() -> verify.PlayedLesson:
    steps = tuple(replace(step, timeout_ms=1) for step in STEPS)
    return verify.play(LAB, replace(LESSON, steps=steps), Silent())


def test_each_step_fails_is_solved_and_passes(played: Play) -> None:
    done = play()
    assert done.ok
    assert [step.step for step in done.steps] == ["first", "second"]
    assert played.ran == ["solve first", "solve second", "whole", "clean LAB"]


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        ("passes before", "its checks pass before anything was done"),
        ("no effect", "its checks do not pass after its solution: vip moved (held by m)"),
        ("lost", "cannot be done any more, after its solution"),
    ],
)
def test_the_first_step_that_is_wrong_ends_the_play(played: Play, wrong: str, detail: str) -> None:
    played.wrong = wrong
    done = play()
    assert not done.ok
    (step,) = done.steps
    assert detail in step.detail
    assert played.ran[-2:] == ["whole", "clean LAB"]


def test_a_solution_that_fails_is_told(played: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    played.wrong = "command fails"
    monkeypatch.setattr(desk, "clean", lambda *_: None)
    (step,) = play().steps
    assert "`solve first` ended with 1:\nboom" in step.detail


def test_a_lab_that_does_not_heal_is_cleaned_all_the_same(
    played: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LabError("not whole")

    monkeypatch.setattr(desk, "make_whole", fail)
    with pytest.raises(LabError, match="not whole"):
        play()
    assert played.ran[-1] == "clean LAB"


def test_why_a_lab_does_not_heal_is_told_even_if_it_cannot_be_cleaned_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(reason: str) -> None:
        raise LabError(reason)

    monkeypatch.setattr(desk, "make_whole", lambda *_: fail("not whole"))
    monkeypatch.setattr(desk, "clean", lambda *_: fail("no API"))
    with pytest.raises(LabError, match="not whole"):
        desk.restore(LAB, LESSON)


# --- the shell ---


def test_commands_run_with_this_halab_and_the_labs_names() -> None:
    with shell.open_shell(LAB) as run:
        assert run("echo LAB VIP-ADDRESS LABEL") == "x 172.30.0.50 LABEL\n"
        assert "halab-lesson-" in run("command -v halab")
        assert run("halab --version").startswith("halab")
        with pytest.raises(CommandFailed, match="ended with 3:\nno"):
            run("echo no; exit 3")


def test_halab_is_this_program_whatever_lies_in_the_learners_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lab.py").write_text("raise SystemExit('not halab')")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(tmp_path)
    with shell.open_shell(LAB) as run:
        assert run("halab --version").startswith("halab")


STUBBORN = "trap : INT; echo $$ > pids; (trap : INT; while :; do sleep 0.1; done) & wait; wait"


def is_gone(group: int) -> bool:
    """Whether no process of a group lives. One that has ended may not have been waited for yet."""
    lines = subprocess.run(
        ["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [line.split() for line in lines]
    return not [row for row in rows if row[0] == str(group) and row[1][0] != "Z"]


def wait_until(condition: Callable[[], bool]) -> None:
    until("the process", lambda: Observation(ok=condition(), detail=""), timeout_s=20, every_s=0.02)


@pytest.mark.parametrize("command", ["echo $$ > pids; sleep 600 & wait", STUBBORN])
def test_a_command_that_does_not_end_is_ended_with_all_that_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shell, "COMMAND_S", 0.5)
    monkeypatch.setattr(shell, "END_S", 0.5)
    with shell.open_shell(LAB) as run, pytest.raises(WaitTimeout, match="it still runs"):
        run(command)
    group = int((tmp_path / "pids").read_text())
    wait_until(lambda: is_gone(group))


def test_names_are_replaced_as_words() -> None:
    assert with_names("LAB, LABS and LAB's", "x", "v") == "x, LABS and x's"
