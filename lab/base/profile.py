"""Where the seconds of long work go: spans on lanes, as rows and as a trace for Perfetto.

Nothing here runs unless a profile was asked for: `measured(None, …)` does nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from lab.base.progress import Reporter

STEPS = "steps"
"""The lane of the work's own steps; every other lane is a subject's: a machine, the API."""
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class ProfileSpan:
    """A stretch of time: seconds since the profile began. Without a length it is a moment."""

    begin: float
    lane: str
    name: str
    seconds: float = 0.0


@dataclass(slots=True)
class Profile:
    """Collects spans from several threads. `clock` gives seconds that never go back."""

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    """POSIX time, in which machines write their records."""
    began: float = field(init=False)
    began_wall: float = field(init=False)
    _spans: list[ProfileSpan] = field(default_factory=list)
    _open: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Subject → what it said last, and when."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Begin; spans count from here."""
        self.began, self.began_wall = self.clock(), self.wall()

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return self.clock() - self.began

    def turn(self, subject: str, following: str = "") -> None:
        """End the span of what a subject said last, and begin that of what it says now."""
        with self._lock:
            now = self.now
            text, begin = self._open.pop(subject, ("", now))
            if following:
                self._open[subject] = (following, now)
        if text:
            self.add(subject, text, begin, now - begin)

    def finish(self) -> None:
        """Make spans of what subjects are still doing: after a failure, that shows the cause."""
        for subject in list(self._open):
            self.turn(subject)

    def add(self, lane: str, name: str, begin: float, seconds: float = 0.0) -> None:
        """Add a span."""
        with self._lock:
            self._spans.append(ProfileSpan(begin, lane, name, max(0.0, seconds)))

    def add_wall(self, lane: str, name: str, begin: float, end: float) -> None:
        """Add a span whose times are POSIX times."""
        self.add(lane, name, begin - self.began_wall, end - begin)

    @contextlib.contextmanager
    def span(self, name: str, lane: str = STEPS) -> Iterator[None]:
        """Measure a block, also one that raises."""
        begin = self.now
        try:
            yield
        finally:
            self.add(lane, name, begin, self.now - begin)

    def hearing(self, reporter: Reporter) -> Reporter:
        """Return a Reporter that hands on what it hears, and makes spans of it."""
        return _Hearing(self, reporter)

    def spans(self) -> tuple[ProfileSpan, ...]:
        """Return all spans, the steps first, then lane by lane in the order of their begin."""
        with self._lock:
            ordered = sorted(self._spans)
        first = {lane: number for number, lane in enumerate(_lanes(ordered))}
        return tuple(sorted(ordered, key=lambda span: (first[span.lane], span.begin)))

    def trace(self, title: str) -> dict[str, Any]:
        """Return the spans in the trace event format, which Perfetto and Chrome read.

        Complete events (`ph: X`) with microseconds; a lane is a thread. The format is described in
        Chromium's document "Trace Event Format".
        """
        spans = self.spans()
        threads = {lane: number for number, lane in enumerate(_lanes(spans), 1)}
        events: list[dict[str, Any]] = [_name("process_name", 0, title)]
        events += [_name("thread_name", number, lane) for lane, number in threads.items()]
        for span in spans:
            events.append(
                {
                    "ph": "X",
                    "name": span.name,
                    "cat": "steps" if span.lane == STEPS else "subject",
                    "pid": 1,
                    "tid": threads[span.lane],
                    "ts": round(span.begin * MICROSECONDS),
                    "dur": round(span.seconds * MICROSECONDS),
                }
            )
        return {"displayTimeUnit": "ms", "traceEvents": events}


def _lanes(spans: tuple[ProfileSpan, ...] | list[ProfileSpan]) -> list[str]:
    lanes = dict.fromkeys(span.lane for span in spans)
    return sorted(lanes, key=lambda lane: lane != STEPS)


def _name(kind: str, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": 1, "tid": thread, "args": {"name": name}}


def measured(profile: Profile | None, name: str) -> AbstractContextManager[None]:
    """Measure a step, if there is a profile."""
    return contextlib.nullcontext() if profile is None else profile.span(name)


@dataclass(slots=True)
class _Hearing:
    """Makes a span of the time from what a subject says to what it says next."""

    profile: Profile
    reporter: Reporter

    def say(self, subject: str, text: str) -> None:
        """Hear what a subject now does, or waits for."""
        self.profile.turn(subject, text)
        self.reporter.say(subject, text)

    def done(self, subject: str, text: str) -> None:
        """Hear that a subject is finished: a moment."""
        self.profile.turn(subject)
        self.profile.add(subject, f"ready: {text}", self.profile.now)
        self.reporter.done(subject, text)
