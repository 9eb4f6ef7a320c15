"""Verdicts: pass, fail or unknown, with their reasons and the figures that they rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable


Outcome = Literal["pass", "fail", "unknown"]
_ORDER: tuple[Outcome, ...] = ("pass", "unknown", "fail")
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "fail": 4, "unknown": 5}
"""Exit codes of a command that judges (lab/base/errors.py has the whole list)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. Times are seconds."""

    name: str
    value: float | None
    """None: not measured; `note` says why."""
    unit: str = ""
    """`s`, or empty for a count."""
    resolution: float = 0.0
    """How far the true value may lie from `value`, either way: the instrument's interval for times,
    0 for counts."""
    worst: float | None = None
    """The largest value possible if what the instrument did not see was bad; infinite if it did
    not see the end. None: `value` itself."""
    note: str = ""

    @property
    def highest(self) -> float:
        """The largest value that the samples allow, apart from the resolution."""
        if self.value is None:
            return math.inf
        return self.value if self.worst is None else max(self.value, self.worst)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a checker says, or whether an expectation was met.

    The reasons are sentences for people; the figures are what they rest on.
    """

    name: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()


def worst_of(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst outcome: fail before unknown before pass, and unknown for none at all."""
    return max(outcomes, key=_ORDER.index, default="unknown")


def worst(verdicts: Iterable[Verdict]) -> Outcome:
    """Return the worst outcome of these verdicts, as `worst_of` does."""
    return worst_of(verdict.outcome for verdict in verdicts)


def verdict(
    name: str,
    bad: Iterable[str],
    unsure: Iterable[str],
    good: Iterable[str] = (),
    figures: Iterable[Figure] = (),
) -> Verdict:
    """Return a verdict: fail if anything is `bad`, else unknown if `unsure`, else pass.

    Its reasons are those in `bad` and `unsure`; those in `good` only if there are no others.
    """
    against, unseen = tuple(bad), tuple(unsure)
    outcome: Outcome = "pass"
    if against:
        outcome = "fail"
    elif unseen:
        outcome = "unknown"
    return Verdict(name, outcome, (*against, *unseen) or tuple(good), tuple(figures))
