"""One probe's outages while they happen, by the rules of lab/analysis/history/series.py.

Samples come in the order of their answers; the rules count in the order of the questions. What runs
now is reported at once. What is over is counted a moment later, when no earlier question is open.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field

from lab.analysis.history.series import LASTING, PATIENCE_S, Point, Span, merged

KEPT = 256
"""Good answers that are remembered: half a second of questions every 20 ms, ten times over."""

OPEN_S = 1.0
"""No question is open for longer: twice an agent's time-out (lab/measure/probe.py)."""
REMEMBERED = 32
"""Outages that a later one may still overlap."""


@dataclass(slots=True)
class OutageTracker:
    """The rule of bad answers, one sample after the other."""

    interval: float = 0.0
    begin: float | None = None
    """When the outage that runs now began: the last good answer before it. None: none runs."""
    _good: deque[Point] = field(default_factory=lambda: deque(maxlen=KEPT))
    _row: list[Point] = field(default_factory=list)
    """Good answers to questions after the last bad one."""
    _first: float | None = None
    _bad: float = float("-inf")
    """When the last bad sample was asked."""
    _last: float = float("-inf")
    """When the last sample ended."""

    def running(self, now: float) -> float | None:
        """Return how long the outage that runs now has lasted, seconds; None if none runs.

        None also if nobody samples any more: then nobody knows whether it goes on.
        """
        stale = now - self._last > max(OPEN_S, LASTING * self.interval)
        return None if stale or self.begin is None else self._since(self.begin, now)

    def observed(self, now: float) -> float:
        """Return how long the outage that is not over has been observed, seconds; 0 for none.

        It counts to the last sample if nobody samples any more.
        """
        if self.begin is None:
            return 0.0
        running = self.running(now)
        return self._since(self.begin, self._last) if running is None else running

    def _since(self, begin: float, now: float) -> float:
        return max(0.0, now - begin - self.interval)

    def feed(self, point: Point) -> Span | None:
        """Take in one sample; return the outage that it ended."""
        self._last = max(self._last, point.end)
        if self._first is None:
            self._first = point.t
        if point.good:
            self._good.append(point)
            if point.t > self._bad and len(self._row) < LASTING:
                self._row.append(point)
        else:
            self._note_bad(point)
        if self.begin is None or len(self._row) < LASTING:
            return None
        begin, self.begin = self.begin, None
        end = max(begin, min(good.end for good in self._row))
        return Span(begin, end, max(0.0, end - begin - self.interval))

    def _note_bad(self, point: Point) -> None:
        self._bad = max(self._bad, point.t)
        self._row = [good for good in self._row if good.t > self._bad]
        if self.begin is not None:
            return
        quick = [good for good in self._good if good.end - good.t <= PATIENCE_S]
        before = [good.end for good in quick if good.t < point.t]
        first = point.t if self._first is None else self._first
        self.begin = max(before, default=first)
        self._row = sorted(good for good in self._good if good.t > self._bad)[:LASTING]


@dataclass(slots=True)
class SilenceTracker:
    """The rule of silences: questions were asked, and for long nothing good came."""

    interval: float = 0.0
    _last: float | None = None
    """When the last good answer came."""
    _asked: float | None = None
    _gap: float = 0.0
    """The longest time without a question since the last good answer."""

    def feed(self, point: Point) -> Span | None:
        """Take in one sample, in the order of answers; return the silence that it ended."""
        patience = max(PATIENCE_S, LASTING * self.interval)
        asked = point.t if self._asked is None else self._asked
        self._gap = max(self._gap, point.t - asked)
        self._asked = max(asked, point.t)
        if not point.good:
            return None
        last, gap = self._last, self._gap
        self._last, self._gap = point.end, 0.0
        if last is None or point.end - last <= patience or gap > patience:
            return None
        return Span(last, point.end, point.end - last - self.interval)


@dataclass(slots=True)
class ProbeOutages:
    """A probe's outages: the one that runs now, and the longest so far."""

    interval: float = 0.0
    longest: float = 0.0
    """The longest outage that is over, seconds."""
    ended: float | None = None
    """When the last outage ended, as far as is known at once."""
    _prompt: OutageTracker = field(default_factory=OutageTracker)
    _ordered: OutageTracker = field(default_factory=OutageTracker)
    _silence: SilenceTracker = field(default_factory=SilenceTracker)
    _held: list[Point] = field(default_factory=list)
    _spans: tuple[Span, ...] = ()
    """The last outages: one that overlaps them is part of them."""

    @property
    def begin(self) -> float | None:
        """When the outage that runs now began; None if none runs."""
        return self._prompt.begin

    def running(self, now: float) -> float | None:
        """Return how long the outage that runs now has lasted, seconds; None if none is known."""
        return self._prompt.running(now)

    def longest_by(self, now: float) -> float:
        """Return the longest outage, seconds; one that is not over counts as far as observed."""
        return max(self.longest, self._prompt.observed(now))

    def feed(self, point: Point) -> None:
        """Take in one sample, in the order of answers."""
        for tracker in (self._prompt, self._ordered, self._silence):
            tracker.interval = self.interval
        if over := self._prompt.feed(point):
            self.ended = over.end
        self._count(self._silence.feed(point))
        heapq.heappush(self._held, point)
        while self._held and self._held[0].t <= point.end - OPEN_S:
            self._count(self._ordered.feed(heapq.heappop(self._held)))

    def _count(self, span: Span | None) -> None:
        if span is not None:
            self._spans = merged([*self._spans, span], self.interval)[-REMEMBERED:]
            self.longest = max(self.longest, *(each.seconds for each in self._spans))
