"""Read a lesson: lesson.yaml, and the Markdown of text.md, all problems of a file at once.

What a check names (faults, scenarios, targets) is looked up here already, so that a lesson that
loads can be played.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base import paths
from lab.base.errors import InputError, Problem, TopologyError, WrongError
from lab.base.suggest import did_you_mean
from lab.base.yaml_files import MAX_BYTES, Problems, Value, compose
from lab.lessons import check_names, lesson_text
from lab.lessons.model import DebriefFigure, Lesson, LessonCheck, LessonStep
from lab.lessons.schema import CERTIFICATES, CHECKS, KEYS, STAGES
from lab.topology import loader, values
from lab.topology.values import open_section, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.topology.model import Topology
    from lab.topology.values import Section

YAML_FILE, TEXT_FILE = "lesson.yaml", "text.md"
TIMEOUT_MS = 60_000
TIMES_MS = (1_000, 600_000)
_EXAMPLE = "for example - {node: w1, is: off}"


def load(folder: Path) -> Lesson:
    """Read a lesson from its folder.

    Raise InputError if a file cannot be read, TopologyError with all problems of one.
    """
    path = folder / YAML_FILE
    problems = Problems()
    root = compose(_read(path), str(path), problems)
    section = open_section(root, "", KEYS[""], root, problems)
    topology = _topology(section)
    steps = _steps(section, problems, topology)
    lesson = _Draft(section, problems, topology).lesson(folder, steps)
    problems.raise_any(str(path))
    return lesson_text.put_into(lesson, _read(folder / TEXT_FILE), str(folder / TEXT_FILE))


def name_of(folder: Path) -> str:
    """Return a lesson's name: its folder's, without the number that it has in a course."""
    return re.sub(r"^[0-9]+-", "", folder.resolve().name)


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
        content = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = f"a lesson is a folder with {YAML_FILE} and {TEXT_FILE}"
        raise InputError(f"{path} cannot be read: {error}", hint) from None
    if len(raw) > MAX_BYTES:
        raise TopologyError(str(path), (Problem(0, "the file is larger than 64 KiB"),))
    return content


def _topology(section: Section) -> Topology | None:
    """Return the lesson's topology with its overrides; None if that is wrong, which is noted."""
    known = sorted(path.stem for path in paths.shipped("topologies").glob("*.yaml"))
    named = section.find("topology", values.one_of(tuple(known)))
    overrides = section.find_all("set", text, ())
    if named is None or overrides is None:
        return None
    path = paths.shipped("topologies") / f"{named.value}.yaml"
    try:
        return loader.load(path, overrides.value).topology
    except TopologyError as error:
        section.problems.add(overrides.at, f"`set` does not fit {named.value}: {error.message}")
        return None


@dataclass(frozen=True, slots=True)
class _Draft:
    """The keys of the file itself."""

    section: Section
    problems: Problems
    topology: Topology | None

    def lesson(self, folder: Path, steps: tuple[LessonStep, ...]) -> Lesson:
        """Return the lesson without its texts. What is wrong is noted, and has a place holder."""
        minutes = self.section.find("minutes", values.integer(5, 60))
        return Lesson(
            name=name_of(folder),
            title=self._text("title"),
            objective=self._text("objective"),
            topology=self._text("topology"),
            overrides=_texts(self.section, "set"),
            minutes=minutes.value if minutes else 0,
            trains=self._trains(),
            text="",
            steps=steps,
            unrecoverable=_checks(self.section, "unrecoverable", self.problems, self.topology),
            cleanup=_texts(self.section, "cleanup"),
            debrief="",
            figures=self._figures(),
            folder=folder,
        )

    def _text(self, key: str) -> str:
        entry = self.section.find(key, text)
        return entry.value if entry else ""

    def _trains(self) -> tuple[str, ...]:
        entry = self.section.find_all("trains", _part, ())
        return entry.value if entry else ()

    def _figures(self) -> tuple[DebriefFigure, ...]:
        items = _items(self.section, "figures", self.problems)
        return tuple(_figure(item, self.problems) for item in items)


def _part(value: Value) -> str:
    part = text(value)
    name, colon, what = part.partition(": ")
    if name not in CERTIFICATES or not colon or not what:
        hint = f"NAME: part, where NAME is one of {', '.join(CERTIFICATES)}"
        raise WrongError(f"has `{part[:60]}`, no part of an examination", hint)
    return part


def _items(section: Section, key: str, problems: Problems) -> list[Value]:
    item = section.items.get(key)
    if item is None:
        return []
    if not isinstance(item.data, list) or not item.data:
        problems.add(item, f"`{section.name(key)}` must be a list with items", _EXAMPLE)
        return []
    return item.data


def _texts(section: Section, key: str) -> tuple[str, ...]:
    entry = section.find_all(key, text, ())
    return entry.value if entry else ()


def _steps(
    section: Section, problems: Problems, topology: Topology | None
) -> tuple[LessonStep, ...]:
    steps: list[LessonStep] = []
    for item in _items(section, "steps", problems):
        step = _step(item, problems, topology)
        if step.name in {other.name for other in steps}:
            problems.add(item, f"a second step `{step.name}`", "give each a name of its own")
        steps.append(step)
    return tuple(steps)


def _step(item: Value, problems: Problems, topology: Topology | None) -> LessonStep:
    section = open_section(item, "steps.*", KEYS["steps.*"], item, problems)
    name = section.find("name", values.label)
    lasting = values.duration(*TIMES_MS, "for example 30s or 2m")
    timeout = section.find("timeout", lasting, TIMEOUT_MS)
    for key in ("checks", "hints", "solution"):
        _items(section, key, problems)
    if name and name.value == lesson_text.DEBRIEF:
        problems.add(
            name.at, f"`{lesson_text.DEBRIEF}` is the heading of the end", "choose another name"
        )
    return LessonStep(
        name=name.value if name else "",
        text="",
        look=_texts(section, "look"),
        checks=_checks(section, "checks", problems, topology),
        hints=_texts(section, "hints"),
        solution=_texts(section, "solution"),
        timeout_ms=timeout.value if timeout else TIMEOUT_MS,
    )


def _checks(
    section: Section, key: str, problems: Problems, topology: Topology | None
) -> tuple[LessonCheck, ...]:
    item = section.items.get(key)
    rows = item.data if item and isinstance(item.data, list) else []
    read = [_check(row, problems, topology) for row in rows]
    return tuple(check for check in read if check is not None)


def _check(item: Value, problems: Problems, topology: Topology | None) -> LessonCheck | None:
    """Return a check; None if it is wrong, which is noted."""
    keys = item.data if isinstance(item.data, dict) else {}
    kinds = [key for key in keys if key in CHECKS]
    if len(kinds) != 1:
        what = f"has {len(kinds)} kinds: {', '.join(kinds)}" if kinds else "has no kind"
        near = did_you_mean(next(iter(keys), ""), CHECKS)
        problems.add(item, f"a check {what}", "one each" if kinds else near)
        return None
    (kind,) = kinds
    section = open_section(item, f"check {kind}", KEYS[f"check {kind}"], item, problems)
    before = len(problems.noted)
    expect = section.find_all("expect", values.expectation, ())
    scalars = (key for key in KEYS[f"check {kind}"] if key != "expect")
    entries = {key: section.find(key, _scalar(kind, key)) for key in scalars}
    given = {key: each.value for key, each in entries.items() if each}
    if len(problems.noted) > before or kind not in given:
        return None
    subject = given.pop(kind)
    expectations = expect.value if expect else ()
    check = LessonCheck(
        kind=kind, subject=subject, options=given, expect=expectations, line=item.line
    )
    try:
        check_names.check(check, topology)
    except WrongError as wrong:
        problems.add(item, f"check `{kind}` {wrong.message}", wrong.hint)
        return None
    return check


def _scalar(kind: str, key: str) -> Callable[[Value], str]:
    """Return the parser of a key: one of the schema's words, a whole number, or any text."""
    part = CHECKS[kind]["properties"][key]
    if "enum" in part:
        return values.one_of(tuple(part["enum"]))
    if part["type"] == "integer":
        return lambda value: str(values.integer(part["minimum"], part["maximum"])(value))
    return text


def _figure(item: Value, problems: Problems) -> DebriefFigure:
    section = open_section(item, "figures.*", KEYS["figures.*"], item, problems)
    name, report, scenario, figure = (
        entry.value if (entry := section.find(key, text)) else ""
        for key in ("name", "report", "scenario", "figure")
    )
    stages = _stages(section, problems)
    terms = section.find("terms", values.boolean)
    sources = [bool(scenario), bool(any(stages)), bool(terms and terms.value)]
    if sum(sources) != 1 or bool(scenario) != bool(figure):
        hint = "{scenario: NAME, figure: outage(api.vip)}, {journal: [A, B]} or {terms: true}"
        problems.add(item, "a figure comes from one place", hint)
    if scenario:
        try:
            check_names.check_scenario(scenario)
        except WrongError as wrong:
            problems.add(item, f"a figure {wrong.message}", wrong.hint)
    return DebriefFigure(
        name=name,
        report=report,
        scenario=scenario,
        figure=figure,
        journal=stages,
        terms=bool(terms and terms.value),
    )


def _stages(section: Section, problems: Problems) -> tuple[str, str]:
    if "journal" not in section.items:
        return ("", "")
    stages = section.find_all("journal", values.one_of(STAGES), ())
    if stages is None:
        return ("", "")
    if len(stages.value) != 2:  # noqa: PLR2004 (from one to the other)
        problems.add(stages.at, "`journal` has two stages", f"known: {', '.join(STAGES)}")
        return ("", "")
    return stages.value[0], stages.value[1]
