"""How far a learner is: one file for each lab and lesson, which survives everything."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from lab.base import paths, whole_file
from lab.base.errors import InputError, LabError
from lab.base.locks import EVERY_S, Lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDING = ".lesson.json"
WAIT_S = 5.0
"""For another command that changes progress, which takes milliseconds."""


@dataclass(slots=True, kw_only=True)
class Former:
    """Who did what in the lab when it was last whole at the beginning of a step."""

    holder: str = ""
    leader: str = ""
    term: int = 0


@dataclass(slots=True, kw_only=True)
class LessonProgress:
    """A learner's progress in one lesson, in one lab. Times are POSIX."""

    lesson: str
    lab: str
    step: int = 0
    """The index of the step that is being done; after the last one, their number."""
    passed: list[str] = field(default_factory=list)
    """The names of the steps whose checks have passed."""
    hints: int = 0
    """How many hints of this step were shown."""
    began: float = 0.0
    step_began: float = 0.0
    first_term: int = 0
    """etcd's when the lesson began."""
    former: Former = field(default_factory=Former)

    def enter(self, step: int) -> None:
        """Go to a step."""
        self.step, self.hints, self.step_began = step, 0, time.time()


def _path(lab: str, lesson: str) -> Path:
    # A lesson's name has no dots; a lab's neither.
    return paths.of_lab(lab, f"{lesson}{ENDING}")


def read(lab: str, lesson: str) -> LessonProgress | None:
    """Return the progress of a lesson in a lab; None if it was never begun there."""
    return _parse(_path(lab, lesson))


def _parse(path: Path) -> LessonProgress | None:
    """Return what a file says; None for no file, or one that an editor has spoiled."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        return LessonProgress(**{**row, "former": Former(**row["former"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def all_of(lab: str = "") -> list[LessonProgress]:
    """Return the progress of all lessons, in all labs or one; the one changed last comes first."""
    files = [path for path in paths.state().glob(f"*{ENDING}") if path.is_file()]
    newest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
    known = [progress for path in newest if (progress := _parse(path))]
    return [progress for progress in known if lab in {"", progress.lab}]


def current(lab: str = "") -> LessonProgress:
    """Return the progress that was changed last. Raises InputError if no lesson was begun."""
    for progress in all_of(lab):
        return progress
    where = f" in lab {lab}" if lab else ""
    raise InputError(
        f"no lesson was started{where}", "`halab lesson start NAME`; `list` names them"
    )


def write(progress: LessonProgress) -> None:
    """Write the progress in one move."""
    with whole_file.replacing(_path(progress.lab, progress.lesson)) as file:
        file.write(f"{json.dumps(asdict(progress))}\n".encode())


@contextlib.contextmanager
def locked(lab: str) -> Iterator[None]:
    """Hold a lab's lock for lessons. Raises LabError if another command keeps it."""
    lock, until = Lock(lab, "lesson"), time.monotonic() + WAIT_S
    while not lock.acquire():
        if time.monotonic() > until:
            what = f"another `halab lesson` is at work in lab {lab}"
            raise LabError(what, "let it end, or end it by ^C, then try again")
        time.sleep(EVERY_S)
    try:
        yield
    finally:
        lock.release()
