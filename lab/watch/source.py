"""Where a watch's events come from: a lab, or a run that is over."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.analysis.history.events import Event, History


class EventSource(Protocol):
    """What a watch reads."""

    def now(self) -> float:
        """Return the moment that is shown, seconds on the events' clock."""

    def due(self) -> Sequence[Event]:
        """Return the events that came since the last call, in their order."""

    def wait(self, timeout_s: float) -> None:
        """Wait until an event is due, at most for so many seconds."""

    @property
    def over(self) -> bool:
        """Whether nothing will come any more."""


def heard(history: History) -> tuple[Event, ...]:
    """Return a run's events in the order in which they were learnt: by their ends."""
    return tuple(sorted(history.events, key=lambda event: event.end))


def wall_of(history: History) -> float:
    """Return the POSIX time at which a run began; 0 if it does not say."""
    try:
        return datetime.fromisoformat(str(history.run.get("wall"))).timestamp()
    except ValueError:
        return 0.0


@dataclass(slots=True)
class Arrivals:
    """Events that come from many threads, until one asks for them: what is live in a source."""

    begin: float = field(default_factory=time.monotonic)
    """The zero of the events' clock, on this process's monotonic one."""
    _queue: queue.SimpleQueue[Event] = field(default_factory=queue.SimpleQueue)
    _come: threading.Event = field(default_factory=threading.Event)

    def put(self, events: Iterable[Event]) -> None:
        """Add events."""
        for event in events:
            self._queue.put(event)
        self._come.set()

    def now(self) -> float:
        """Return the seconds since the zero."""
        return time.monotonic() - self.begin

    def due(self) -> Sequence[Event]:
        """Return what came since the last call."""
        self._come.clear()  # before they are taken: one that comes meanwhile sets it again
        events = []
        with contextlib.suppress(queue.Empty):
            while True:
                events.append(self._queue.get_nowait())
        return events

    def wait(self, timeout_s: float) -> None:
        """Wait until one has come, at most for so many seconds."""
        self._come.wait(timeout_s)

    @property
    def over(self) -> bool:
        """What lives never ends by itself."""
        return False


@dataclass(slots=True)
class Replay:
    """A run's history, played at a speed: 2 is twice as fast as it happened."""

    events: Sequence[Event]
    speed: float = 1.0
    start: float = 0.0
    """Where it begins, seconds of the run: what came before is due at once."""
    _begin: float = field(default_factory=time.monotonic)
    _next: int = 0

    def now(self) -> float:
        """Return the moment of the run that is shown."""
        at = self.start + (time.monotonic() - self._begin) * self.speed
        return min(at, self._end)

    @property
    def _end(self) -> float:
        return self.events[-1].end if self.events else 0.0

    def due(self) -> Sequence[Event]:
        """Return the events up to now that were not returned yet."""
        at, first = self.now(), self._next
        while self._next < len(self.events) and self.events[self._next].end <= at:
            self._next += 1
        return self.events[first : self._next]

    def wait(self, timeout_s: float) -> None:
        """Wait: a run has events every few milliseconds, and nobody waits for one."""
        time.sleep(timeout_s)

    @property
    def over(self) -> bool:
        """Whether all was played."""
        return self._next >= len(self.events)
