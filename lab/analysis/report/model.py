"""A report as plain values: everything that its text, page or picture shows.

Times are seconds; points in time count from the beginning of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lab.analysis.history.failover_phases import FaultGroup
    from lab.analysis.history.outage_causes import OutageCause
    from lab.analysis.verdicts import Figure, Outcome

State = Literal["good", "bad", "mixed", "unknown", "on", "fault", "step"]
"""good and bad: answers; mixed: both, too close to be drawn apart; unknown: nobody looked; on: the
node holds the VIP, or leads etcd; fault and step: what was done."""
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
    """From `begin` to `end` a lane was in one state; `text` says more."""

    begin: float
    end: float
    state: State
    text: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the time-line. The lanes of a group stand together under its name."""

    group: str
    name: str
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One verdict: an expectation or a checker, what it means, and its outcome."""

    name: str
    meaning: str
    outcome: Outcome
    reasons: tuple[str, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class OutageRow:
    """The outages of a probe; None where nothing can be said, or there was no outage."""

    probe: str
    question: str
    interval: float
    count: int | None
    longest: float | None
    total: float | None
    first: float | None
    """When the first one began."""
    last: float | None
    """When the last one ended."""
    note: str = ""
    causes: tuple[OutageCause, ...] = ()
    """What its outages were; empty if nothing traced them."""


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """A phase over all faults of a run: how often it was seen, and how long it took."""

    name: str
    meaning: str
    count: int
    median: float
    slowest: float
    resolution: float


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report."""

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
    """What the other checkers say; it does not count."""
    outages: tuple[OutageRow, ...]
    fault_groups: tuple[FaultGroup, ...]
    phases: tuple[PhaseRow, ...]
    lanes: tuple[Lane, ...]
    span: tuple[float, float]
    """When the run began and ended."""
    again: tuple[str, ...]
    """Commands that run it or judge it again."""
