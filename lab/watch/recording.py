"""A run that is over as the states that a page plays: the first one, then what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.watch.delta import SAME, PlainStates, difference
from lab.watch.lab_shape import LabShape
from lab.watch.page import PageSize
from lab.watch.reducer import Reducer
from lab.watch.source import heard, wall_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.analysis.history.events import History
    from lab.watch.state import WatchState

FRAME_S = 0.25
"""Between two states of a run while something happens."""
IDLE_S = 5.0
"""Between two states while nothing does: a run may wait for long before it measures."""
FRAMES = 1200
"""If something happens for more than five minutes, states are further apart: a page must open
at once."""


def moments(ends: Sequence[float]) -> Iterator[float]:
    """Yield when a state is shown, of events that ended then; the last one has all of them."""
    happening = {int(end // FRAME_S) for end in ends}
    each = FRAME_S * max(1, -(-len(happening) // FRAMES))
    busy = {int(end // each) for end in ends}
    last, over = -IDLE_S, max(ends, default=0.0)
    for index in range(int(over // each) + 1):
        now = min((index + 1) * each, over)
        if index in busy or now - last >= IDLE_S:
            last = now
            yield now


def states(history: History) -> Iterator[WatchState]:
    """Yield what was known of a run's lab, moment by moment."""
    events = heard(history)
    reducer = Reducer(LabShape(""), "replay", wall_of(history))
    fed, size = 0, PageSize()
    for now in moments([event.end for event in events]):
        while fed < len(events) and events[fed].end <= now:
            reducer.feed(events[fed])
            fed += 1
        yield reducer.view(now, size.cells, size.cell_s)


def record(history: History, speed: float = 1.0) -> dict[str, Any]:
    """Return a run for a page: `speed`, and `frames`, of which each but the first is a change."""
    frames: list[Any] = []
    values = PlainStates()
    before: Any = None
    for state in states(history):
        now = values.of(state)
        change = difference(before, now) if frames else now
        if change is not SAME:
            frames.append(change)
        before = now
    return {"speed": speed, "frames": frames}
