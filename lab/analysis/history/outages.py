"""How long each probe's service was away: what was seen, and the most that the samples allow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis.history.series import Span, is_good, outages, series

if TYPE_CHECKING:
    from lab.analysis.history.events import History
    from lab.analysis.history.series import Series


@dataclass(frozen=True, slots=True)
class Outages:
    """A probe's outages. `resolution`: seconds, the probe's interval."""

    probe: str
    spans: tuple[Span, ...]
    resolution: float
    worst: tuple[float, float, float]
    """Longest, count and total, if it was out wherever the instrument did not look."""
    trouble: str = ""
    """Why nothing can be said."""
    blind: str = ""
    """Where the instrument did not look."""

    @property
    def longest(self) -> float:
        """Seconds; 0 without an outage."""
        return max((span.seconds for span in self.spans), default=0.0)

    @property
    def total(self) -> float:
        """Unavailable in all, seconds."""
        return sum(span.seconds for span in self.spans)

    @property
    def open(self) -> bool:
        """It was still out when the samples ended."""
        return any(span.open for span in self.spans)


def measure(history: History, prefix: str = "") -> dict[str, Outages]:
    """Return the outages of the probes that ask a yes-or-no question, by probe.

    Pure observation (no good sample can be bad) is none of them.
    """
    return {
        name: _of(found) for name, found in series(history, prefix).items() if not _observes(found)
    }


OBSERVERS = ("nodes", "endpoints", "pods", "vip.arp", "etcd")
"""Probes whose `value` is the answer; `ok` says only that there was one."""


def _observes(found: Series) -> bool:
    return any(found.name == name or found.name.startswith(f"{name}.") for name in OBSERVERS)


def _of(found: Series) -> Outages:
    points = found.points(is_good)
    spans = outages(points, found.interval, found.patience)
    worst_case = spans
    if found.stalls:
        worst_case = outages(found.worst_case(is_good), found.interval, found.patience)
    longest = max((math.inf if span.open else span.seconds for span in worst_case), default=0.0)
    total = (
        math.inf
        if any(span.open for span in worst_case)
        else sum(span.seconds for span in worst_case)
    )
    return Outages(
        found.name,
        spans,
        found.interval,
        (longest, float(len(worst_case)), total),
        found.trouble(),
        found.blind(),
    )
