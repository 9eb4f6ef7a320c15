"""Verdicts: pass, fail or unknown, with the reasons and the figures that they rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable


Outcome = Literal["pass", "fail", "unknown"]
_ORDER: tuple[Outcome, ...] = ("pass", "unknown", "fail")
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "fail": 4, "unknown": 5}
"""How a command that judges ends (lab/base/errors.py has the whole list)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. Times are seconds."""

    name: str
    value: float | None
    """None: not measured; `note` says why."""
    unit: str = ""
    """`s`, or empty for a count."""
    resolution: float = 0.0
    """The true value lies this far around it: the instrument's interval for times, 0 for what was
    counted one by one."""
    worst: float | None = None
    """As large as this it may have been where the instrument did not look, or before it ended
    (infinite); None: as `value` says."""
    note: str = ""

    @property
    def highest(self) -> float:
        """The largest value that the samples allow, leaving the resolution aside."""
        if self.value is None:
            return math.inf
        return self.value if self.worst is None else max(self.value, self.worst)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a checker found, or what became of an expectation: the reasons in plain sentences, and the figures they rest on."""

    name: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()


def worst(verdicts: Iterable[Verdict]) -> Outcome:
    """Return the outcome of all together: fail before unknown before pass.

    Nothing judged is unknown.
    """
    return max((verdict.outcome for verdict in verdicts), key=_ORDER.index, default="unknown")


def verdict(
    name: str,
    bad: Iterable[str],
    unsure: Iterable[str],
    good: Iterable[str] = (),
    figures: Iterable[Figure] = (),
) -> Verdict:
    """Make a verdict of what speaks against, of what could not be seen, and of what to say when all is well."""
    against, unseen = tuple(bad), tuple(unsure)
    outcome: Outcome = "fail" if against else "unknown" if unseen else "pass"
    return Verdict(
        name, outcome, (*against, *unseen) if against or unseen else tuple(good), tuple(figures)
    )
