"""The Markdown of a lesson: an introduction, a section for each step, and the debrief."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.base.messages import shown
from lab.base.suggest import did_you_mean
from lab.base.yaml_files import Problems

if TYPE_CHECKING:
    from lab.lessons.model import Lesson

DEBRIEF = "debrief"
"""The heading of the section that is shown at the end."""
_HEADING = re.compile(r"## (?P<name>.*\S)\s*")


def put_into(lesson: Lesson, text: str, path: str) -> Lesson:
    """Return the lesson with its texts. Raise TopologyError for sections that do not fit."""
    problems = Problems()
    sections = _sections(text, problems)
    names = [*(step.name for step in lesson.steps), DEBRIEF]
    for name, (line, body) in sections.items():
        if name and name not in names:
            problems.add(line, f"no step is called `{shown(name)}`", did_you_mean(name, names))
        if not body:
            problems.add(line, f"the section `{shown(name)}` is empty" if name else "no text")
    for name in names:
        if name not in sections:
            problems.add(0, f"the section `## {name}` is missing", "each step has one, and the end")
    problems.raise_any(path)
    steps = tuple(replace(step, text=sections[step.name][1]) for step in lesson.steps)
    return replace(lesson, text=sections[""][1], steps=steps, debrief=sections[DEBRIEF][1])


def _sections(text: str, problems: Problems) -> dict[str, tuple[int, str]]:
    """Return the sections by their headings, with their lines; "" is the introduction.

    The file's title (`# …`) is left out: lesson.yaml has it.
    """
    bodies: dict[str, tuple[int, list[str]]] = {"": (1, [])}
    name = ""
    for number, line in enumerate(text.splitlines(), 1):
        heading = _HEADING.fullmatch(line)
        if heading:
            name = heading["name"]
            if name in bodies:
                problems.add(number, f"a second section `{shown(name)}`", "keep one of them")
            bodies[name] = (number, [])
        elif not line.startswith("# "):
            bodies[name][1].append(line)
    return {name: (line, "\n".join(body).strip()) for name, (line, body) in bodies.items()}
