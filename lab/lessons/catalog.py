"""The lessons that come with halab."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.base import paths
from lab.base.errors import InputError
from lab.base.suggest import did_you_mean
from lab.lessons import lesson_file
from lab.lessons.lesson_file import YAML_FILE

if TYPE_CHECKING:
    from lab.lessons.model import Lesson


def shipped() -> dict[str, Path]:
    """Return the lessons that come with halab, in the order of a course: name → folder.

    A folder's name begins with its number, which the lesson's name leaves out.
    """
    files = (paths.shipped("topologies") / "lessons").glob(f"*/{YAML_FILE}")
    return {lesson_file.name_of(path.parent): path.parent for path in sorted(files)}


def find(name: str) -> Lesson:
    """Return a lesson that comes with halab. Raises InputError with a suggestion."""
    known = shipped()
    if name in known:
        return lesson_file.load(known[name])
    hint = did_you_mean(name, known)
    if "/" in name:
        hint = "`halab lesson verify FOLDER` plays one of your own, `show FOLDER` shows it"
    raise InputError(f"no lesson `{name}`", hint)


def find_or_load(name: str) -> Lesson:
    """Return a lesson by its name, or by the path of its folder. Raises InputError."""
    return lesson_file.load(Path(name)) if "/" in name else find(name)
