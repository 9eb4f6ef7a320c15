"""A lesson as plain values. lab/lessons/lesson_file.py reads one from its folder."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from lab.topology.expectation import Expectation

LAB_PLACEHOLDER = re.compile(r"\bLAB\b")
VIP_PLACEHOLDER = re.compile(r"\bVIP-ADDRESS\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonCheck:
    """One question about the lab's state, and the answer that passes."""

    kind: str
    """One of lab/lessons/schema.py's CHECKS."""
    subject: str
    """What stands behind the kind: a target, a word, a selector, a command."""
    options: dict[str, str] = field(default_factory=dict)
    expect: tuple[Expectation, ...] = ()
    """Of the kind `scenario`: what its run must show."""
    line: int = 0
    """Where it stands in lesson.yaml, 1-based."""

    def describe(self) -> str:
        """Return the check on one line, much as lesson.yaml writes it."""
        more = [f"{key} {value}" for key, value in self.options.items() if key != "namespace"]
        expectations = [expectation.text for expectation in self.expect]
        return ", ".join([f"{self.kind} {self.subject}", *more, *expectations])


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonStep:
    """A step: what to do and to look at (`text`), its checks, hints and solution."""

    name: str
    text: str
    """Markdown."""
    look: tuple[str, ...] = ()
    """Commands that show what this step is about."""
    checks: tuple[LessonCheck, ...] = ()
    hints: tuple[str, ...] = ()
    """From a nudge to the whole answer."""
    solution: tuple[str, ...] = ()
    """Commands for a shell on the host."""
    timeout_ms: int = 0
    """How long the checks may take to pass after the solution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebriefFigure:
    """A figure of what the learner's lab did, beside the one of the report."""

    name: str
    report: str
    """What the report or Kubernetes' documentation says; text."""
    scenario: str = ""
    """The scenario whose last run has it."""
    figure: str = ""
    """Its name there: outage(api.vip)."""
    journal: tuple[str, str] = ("", "")
    """Two stages that journals show (lab/measure/journal_events.py): the time between them."""
    terms: bool = False
    """Whether it is the number of terms that etcd has begun since the lesson's start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A whole lesson."""

    name: str
    """Its folder's name."""
    title: str
    objective: str
    topology: str
    """The shipped topology of its lab."""
    overrides: tuple[str, ...]
    """`key.path=value` settings of the topology."""
    minutes: int
    trains: tuple[str, ...]
    """Parts of examinations."""
    text: str
    """Markdown: the introduction."""
    steps: tuple[LessonStep, ...]
    unrecoverable: tuple[LessonCheck, ...]
    """If one of them passes, only a reset helps."""
    cleanup: tuple[str, ...]
    """Commands that take back what the lesson made in the cluster."""
    debrief: str
    """Markdown."""
    figures: tuple[DebriefFigure, ...]
    folder: Path


def with_names(text: str, lab: str, vip: str) -> str:
    """Return a text or command with LAB and VIP-ADDRESS replaced by the lab's own names."""
    return VIP_PLACEHOLDER.sub(vip, LAB_PLACEHOLDER.sub(lab, text))
