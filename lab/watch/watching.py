"""Carries a watch out: events in, states on a screen or as lines, keys."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from lab.watch import screen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.watch.fault_control import FaultControl
    from lab.watch.reducer import Reducer
    from lab.watch.source import EventSource
    from lab.watch.state import TapeEntry, WatchState

FRAME_S = 0.2
"""Between two frames, if nothing happens."""
LEAST_S = 0.05
"""Between two frames if much happens: the eye follows no more."""
STEPS = 500
"""So many moments can be stepped back to, one for each change of the tape."""
VOLATILE = {"now", "wall", "begin", "cells", "outage", "longest", "not_ready_in", "pods_move_in"}
"""What changes with time alone: no reason to tell a state again."""


class ChartSize(Protocol):
    """How many cells a strip has where it is drawn, and how long each is."""

    @property
    def cells(self) -> int:
        """Return how many cells a strip has."""

    @property
    def cell_s(self) -> float:
        """Return how long a cell lasts, seconds: a multiple of strip_chart.CELL_S."""


@dataclass(slots=True)
class Moments:
    """The states to step through: one for each change of the tape."""

    kept: deque[WatchState] = field(default_factory=lambda: deque(maxlen=STEPS))
    at: int | None = None
    """Which one is shown; None: the newest state of all."""

    def keep(self, state: WatchState) -> None:
        """Remember a state if its tape is a new one."""
        if not self.kept or self.kept[-1].tape != state.tape:
            if self.at is not None and len(self.kept) == STEPS:
                self.at = max(0, self.at - 1)
            self.kept.append(state)

    def step(self, by: int) -> None:
        """Go back or forth."""
        if self.kept:
            at = len(self.kept) if self.at is None else self.at
            self.at = min(max(0, at + by), len(self.kept) - 1)

    def pause(self) -> None:
        """Stand still, or go on."""
        self.at = None if self.at is not None or not self.kept else len(self.kept) - 1

    def shown(self, newest: WatchState) -> WatchState:
        """Return the state to show."""
        return newest if self.at is None else self.kept[self.at]

    @property
    def note(self) -> str:
        """The screen's last line."""
        if self.at is None:
            return screen.KEYS
        return f"PAUSED at {self.at + 1} of {len(self.kept)}   p goes on   ←/→ step   q quit"


@dataclass(slots=True)
class Watching:
    """One watch: its source, and what is known."""

    source: EventSource
    reducer: Reducer
    for_s: float | None = None
    """It ends after so many seconds; None: when the source is over, or somebody ends it."""
    ended: threading.Event = field(default_factory=threading.Event)
    control: FaultControl | None = None
    """What breaks and heals the lab; None for a run that is over."""
    _begin: float = field(default_factory=time.monotonic)

    def states(
        self, size: Callable[[], ChartSize], every_s: float, *, stay: bool = False
    ) -> Iterator[WatchState]:
        """Yield what is known, again and again, until the end.

        With `stay` that of a run is none: somebody may still step through it.
        """
        while True:
            over = self._late() or (self.source.over and not stay)
            yield self.look(size())
            if over or self.is_ended_within(every_s):
                return

    def look(self, size: ChartSize) -> WatchState:
        """Return what is known now."""
        self._take_in()
        return self.reducer.view(self.source.now(), size.cells, size.cell_s)

    def is_ended_within(self, every_s: float) -> bool:
        """Wait for the next look, which comes sooner if something happens."""
        due, changes = time.monotonic() + every_s, self.reducer.changes
        if self.ended.wait(min(LEAST_S, every_s)):
            return True
        self._take_in()
        while self.reducer.changes == changes and (left := due - time.monotonic()) > 0:
            self.source.wait(left)
            self._take_in()
        return self.ended.is_set()

    def _take_in(self) -> None:
        for event in self.source.due():
            self.reducer.feed(event)

    def _late(self) -> bool:
        return self.for_s is not None and time.monotonic() - self._begin >= self.for_s


def changes(states: Iterator[WatchState]) -> Iterator[WatchState]:
    """Yield the first state, and each that differs by more than time."""
    before: Any = None
    for state in states:
        now = steady_part(state.as_json())
        if now != before:
            before = now
            yield state


def steady_part(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Return a state's JSON without what changes with time alone."""
    if isinstance(value, dict):
        return {key: steady_part(each) for key, each in value.items() if key not in VOLATILE}
    if isinstance(value, list | tuple):
        return [steady_part(each) for each in value]
    return value


def json_lines(states: Iterator[WatchState]) -> Iterator[str]:
    """Yield one JSON object for each change."""
    for state in changes(states):
        yield json.dumps(state.as_json(), separators=(",", ":"))


def plain_lines(states: Iterator[WatchState]) -> Iterator[str]:
    """Yield one line for each event of the tape, and for each change of the lab's health."""
    printed: set[TapeEntry] = set()
    health = ""
    for state in states:
        new = [entry for entry in state.tape if entry not in printed]
        printed.update(new)
        yield from (screen.tape_line(state, entry).text for entry in new)
        if state.health != health:
            health = state.health
            yield f"{screen.clock(state, state.now)} {'':>8} {state.lab} is {health}: {state.why}"
