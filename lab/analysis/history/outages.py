"""How long each probe's service was out: what was seen, and the most that the samples allow."""

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
    """A probe's outages."""

    probe: str
    spans: tuple[Span, ...]
    resolution: float
    """The probe's interval, seconds."""
    worst: tuple[float, float, float]
    """Longest (seconds), count and total (seconds), if it was out wherever nobody looked."""
    trouble: str = ""
    """Why nothing can be said; empty if something can."""
    blind: str = ""
    """Where the instrument did not look; empty if it always did."""

    @property
    def longest(self) -> float:
        """The longest outage, seconds; 0 without one."""
        return max((span.seconds for span in self.spans), default=0.0)

    @property
    def total(self) -> float:
        """All outages together, seconds."""
        return sum(span.seconds for span in self.spans)

    @property
    def open(self) -> bool:
        """Whether it was still out when the samples ended."""
        return any(span.open for span in self.spans)


def measure(history: History, prefix: str = "") -> dict[str, Outages]:
    """Return the outages by probe, for all probes or those under a prefix.

    Observers are left out: any answer of theirs is a good one, whatever it says.
    """
    return {
        name: _of(probe) for name, probe in series(history, prefix).items() if not _observes(name)
    }


OBSERVERS = ("nodes", "endpoints", "pods", "vip.arp", "etcd")
"""Probes whose answer is their `value`; `ok` only says that there was one."""


def _observes(probe: str) -> bool:
    return any(probe == name or probe.startswith(f"{name}.") for name in OBSERVERS)


def _of(probe: Series) -> Outages:
    points = probe.points(is_good)
    spans = outages(points, probe.interval, probe.patience)
    worst_case = spans
    if probe.stalls:
        worst_case = outages(probe.worst_case(is_good), probe.interval, probe.patience)
    longest = max((math.inf if span.open else span.seconds for span in worst_case), default=0.0)
    total = (
        math.inf
        if any(span.open for span in worst_case)
        else sum(span.seconds for span in worst_case)
    )
    return Outages(
        probe.name,
        spans,
        probe.interval,
        (longest, float(len(worst_case)), total),
        probe.trouble(),
        probe.blind(),
    )
