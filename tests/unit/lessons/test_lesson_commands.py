"""The commands in lessons' texts, hints and solutions are what the program understands."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import click
import pytest
from test_recipes import target

from lab.addons import catalog as addons
from lab.chaos import faults
from lab.cli import output
from lab.lessons import catalog
from lab.lessons.model import Lesson, LessonStep, with_names
from lab.live.status import LabStatus, NodeStatus
from lab.scenarios import catalog as scenarios

if TYPE_CHECKING:
    from collections.abc import Iterator

LESSONS = tuple(catalog.shipped())
SPACES = re.compile(r"\s+")
IN_PROSE = re.compile(r"`(halab [^`]+)`")
IN_BLOCK = re.compile(r"^ {4}(.*\bhalab .*)$", re.MULTILINE)
SHELL = re.compile(r"halab |for |until ")
"""How a hint begins that is nothing but commands."""
NAMES = {"fault inject": faults.names(), "scenario run": scenarios.shipped()}
"""Command → what its second argument can be."""


@cache
def lessons() -> dict[str, Lesson]:
    """Return all lessons that come with halab, by name."""
    return {name: catalog.find(name) for name in LESSONS}


def in_text(text: str) -> Iterator[str]:
    """Find the commands in Markdown."""
    yield from IN_PROSE.findall(SPACES.sub(" ", text))
    yield from IN_BLOCK.findall(text)


def shell_of(lesson: Lesson) -> Iterator[str]:
    """Find all that a lesson has for a shell."""
    for text in (lesson.text, lesson.debrief, *(step.text for step in lesson.steps)):
        yield from in_text(text)
    yield from lesson.cleanup
    for step in lesson.steps:
        yield from (*step.look, *step.solution)
        for hint in step.hints:
            yield from [hint] if SHELL.match(hint) else in_text(hint)


def calls(script: str) -> Iterator[list[str]]:
    """Find the words after each `halab` of a script, as far as the shell's own signs."""
    lexer = shlex.shlex(script, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] | None = None
    for token in lexer:
        if set(token) <= set("();<>|&"):
            if words:
                yield words
            words = None
        elif words is not None:
            words.append(token)
        elif token == "halab":
            words = []
    if words:
        yield words


def calls_of(lesson: Lesson) -> list[list[str]]:
    """Find all calls of a lesson, with a lab's own names."""
    scripts = [with_names(script, "anna", "172.30.0.50") for script in shell_of(lesson)]
    return [words for script in scripts for words in calls(script)]


def parse(words: list[str]) -> click.Context:
    """Parse a call, without carrying it out. Raises click.UsageError."""
    command, given = target(words)
    if not given:
        return click.Context(command)  # texts name it: "`halab verify` shows it"
    assert not isinstance(command, click.Group), words
    return command.make_context(" ".join(words[:2]), list(given))


def test_calls_are_found_in_all_of_a_shells_places() -> None:
    script = 'A=$(halab status LAB | sed x); halab exec m -- sh -c "a; b | c" > f && halab list'
    assert list(calls(script)) == [
        ["status", "LAB"],
        ["exec", "m", "--", "sh", "-c", "a; b | c"],
        ["list"],
    ]
    found = in_text("See `halab\nstatus`.\n\n    halab list\n")
    assert list(found) == ["halab status", "halab list"]
    assert all(len(calls_of(lesson)) >= 10 for lesson in lessons().values())


@pytest.mark.parametrize("name", LESSONS)
def test_lessons_call_what_the_program_understands(name: str) -> None:
    for words in calls_of(lessons()[name]):
        parse(words)
        known = NAMES.get(" ".join(words[:2]))
        assert known is None or words[3] in known, words
        if words[0] == "addon":
            assert set(words[3:]) <= set(addons.names()), words


@pytest.mark.parametrize("words", [["statsu"], ["status", "-x"], ["lesson", "nxt"], ["list", "x"]])
def test_a_call_that_is_wrong_is_found(words: list[str]) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        parse(words)


# --- what solutions read out of `halab status` ---

STATUS = LabStatus(
    name="x", distribution="upstream", release="", api="https://172.30.0.50:6443",
    vip="172.30.0.50", vip_holders=("m3",), etcd_leader="m2", nodes=(), fencing=True,
    fenced="off-stays", fencings=(), bmc="running", addons=(), faults=(), problems=(),
)  # fmt: skip
DEAD = NodeStatus(
    name="m", role="master", ip="172.30.0.11", state="exited", kubernetes="NotReady", version="v1",
    etcd="-", vip=False,
)  # fmt: skip
NODES = (DEAD, *(replace(DEAD, name=name, state="running") for name in ("m2", "m3")))
READ = re.compile(r"([A-Z]+)=\$\(halab status LAB \| (.+?)\);")
"""A variable, and the filter that reads it."""
MEANT = {"HOLDER": "m3", "NEW": "m3", "LEADER": "m2", "DEAD": "m", "ALIVE": "m2"}


def filters() -> Iterator[tuple[str, str, str]]:
    for name, lesson in lessons().items():
        for step in lesson.steps:
            for command in step.solution:
                for variable, program in READ.findall(command):
                    yield name, variable, program


@pytest.mark.parametrize(("name", "variable", "program"), list(filters()))
def test_solutions_read_the_status_rightly(
    capsys: pytest.CaptureFixture[str], name: str, variable: str, program: str
) -> None:
    output.status(replace(STATUS, nodes=NODES))
    shown = capsys.readouterr().out
    done = subprocess.run(
        ["sh", "-c", program], input=shown, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == MEANT[variable], name


def test_the_filters_are_found() -> None:
    solutions = [text for one in lessons().values() for step in one.steps for text in step.solution]
    assert sum(text.count("$(halab status LAB |") for text in solutions) == len(list(filters()))


# --- what is to be looked at while a master is dead ---

KILLS = re.compile(r"fault inject LAB (?:crash|hang|power-cut|partition) (@|m|all|role:master)")
EXEC = re.compile(r"halab exec LAB m[23]? ")
LOGS = re.compile(r"halab logs LAB (m[23]?) -u (\w+)")


def broken_steps(lesson: Lesson) -> Iterator[LessonStep]:
    """Find the steps in which a master may be dead while the learner looks."""
    broken = False
    for step in lesson.steps:
        solution = "\n".join(step.solution)
        # All cut off from each other: nobody has the votes to fence.
        broken = broken or bool(KILLS.search(solution.replace("role:master --set", "")))
        if "fault heal" in solution:
            broken = False
        if broken:
            yield step


@pytest.mark.parametrize("name", LESSONS)
def test_nobody_is_sent_to_a_dead_master_alone(name: str) -> None:
    for step in broken_steps(lessons()[name]):
        assert not [look for look in step.look if EXEC.match(look)], step.name
        journals = [found.groups() for look in step.look if (found := LOGS.match(look))]
        units = [unit for _, unit in journals]
        assert all(units.count(unit) > 1 for unit in units), f"{step.name}: one master may be dead"


def test_steps_with_a_dead_master_are_found() -> None:
    names = {(name, step.name) for name, one in lessons().items() for step in broken_steps(one)}
    assert {("vip-moves", "read"), ("minority", "one-cut-off"), ("silent-bmc", "wait")} <= names
    assert ("minority", "three-minorities") not in names
