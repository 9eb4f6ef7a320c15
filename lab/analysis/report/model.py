"""A report as plain values: everything that its text, page or picture shows.

Times are seconds since the run began.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lab.analysis.history.failover_phases import FaultGroup
    from lab.analysis.verdicts import Figure, Outcome

State = Literal["good", "bad", "mixed", "unknown", "on", "fault", "step"]
"""good and bad: answers; mixed: both, too close to be drawn apart; unknown: nobody looked; on: it
holds, it leads; fault and step: what was done."""
STATES: dict[State, str] = {
    "good": "answers, or Ready",
    "bad": "no answers, or not Ready",
    "mixed": "some answers good, some bad",
    "unknown": "the instrument did not look",
    "on": "holds the VIP, or leads etcd",
    "fault": "a fault is on",
    "step": "a step of the scenario",
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `begin` to `end` a lane was in a state; `text` says more."""

    begin: float
    end: float
    state: State
    text: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """A line of the time-line. Lanes of a group stand together under its name."""

    group: str
    name: str
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """An expectation, or a checker's summary, and what became of it."""

    name: str
    meaning: str
    outcome: Outcome
    reasons: tuple[str, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class OutageRow:
    """The outages of a probe; times None where nothing can be said or there was none."""

    probe: str
    question: str
    interval: float
    count: int | None
    longest: float | None
    total: float | None
    first: float | None
    last: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """A phase over all faults of a run: how often it was seen, and the times it took."""

    name: str
    meaning: str
    count: int
    median: float
    slowest: float
    resolution: float


@dataclass(frozen=True, slots=True)
class Report:
    """A run, told."""

    title: str
    outcome: Outcome
    sentence: str
    about: tuple[tuple[str, str], ...]
    """What ran: name and value."""
    done: tuple[tuple[float, str], ...]
    """What was done, and when."""
    rows: tuple[VerdictRow, ...]
    """The verdicts that count."""
    checked: tuple[VerdictRow, ...]
    """What else all checkers say; it does not count."""
    outages: tuple[OutageRow, ...]
    fault_groups: tuple[FaultGroup, ...]
    phases: tuple[PhaseRow, ...]
    lanes: tuple[Lane, ...]
    span: tuple[float, float]
    again: tuple[str, ...]
    """Commands that run or judge it again."""
