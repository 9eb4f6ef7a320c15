"""A lab that waits to be broken: a recorded run that stands still before its fault until a control
injects one. What happens then is what happened."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lab.analysis.history.events import Event
from lab.base.errors import LabError
from lab.watch import web
from lab.watch.broadcast import Broadcast
from lab.watch.lab_grid import LabGrid
from lab.watch.lab_shape import LabShape
from lab.watch.reducer import Reducer
from lab.watch.source import heard, wall_of
from lab.watch.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.analysis.history.events import History

BENCH = Path(__file__).parents[1] / "bench"
STILL_S = 0.5
"""It stands still so long before its fault."""
MACHINES = ("m", "m2", "m3", "w1", "w2", "w3", "lb")


@cache
def recorded() -> History:
    """The run of README's picture: m2 holds the VIP and crashes."""
    spec = importlib.util.spec_from_file_location("watch_picture", BENCH / "watch_picture.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.history()


class StagedLab:
    """The source of a watch, and its control: half a minute is played at `speed` when injected."""

    nodes = MACHINES
    busy = False

    def __init__(self, speed: float = 4.0, name: str = "3m3w") -> None:
        run = recorded()
        self.fault = run.of("fault")[0]
        self.speed, self.message, self.left = speed, "", ()
        self.orders: list[tuple[str, ...]] = []
        self.wall = wall_of(run)
        events = (*(_named(event, name) for event in heard(run)), *self._engine())
        self._events = sorted(events, key=lambda event: event.end)
        self._next = 0
        self._begun: float | None = None

    def _engine(self) -> Iterator[Event]:
        """What the engine and the BMCs said: a history has none of it."""
        before, victim = self.fault.t - 5.0, str(self.fault.get("node"))
        for name in MACHINES:
            yield Event(before, "machine", {"node": name, "state": "running"})
            yield Event(before, "power", {"node": name, "power": "on"})
        yield Event(before, "measuring", {"text": "watch"})
        yield Event(self.fault.t + 0.2, "machine", {"node": victim, "state": "exited"})
        yield Event(self.fault.t + 2.0, "power", {"node": victim, "power": "off"})

    # --- the source ---

    def now(self) -> float:
        still = self.fault.t - STILL_S
        if self._begun is None:
            return still
        played = still + (time.monotonic() - self._begun) * self.speed
        return min(played, self._events[-1].end)

    def due(self) -> Sequence[Event]:
        at, first = self.now(), self._next
        while self._next < len(self._events) and self._events[self._next].end <= at:
            self._next += 1
        return self._events[first : self._next]

    def wait(self, timeout_s: float) -> None:
        time.sleep(min(timeout_s, 0.05))

    over = False

    # --- the control ---

    def inject(self, fault: str, target: str) -> bool:
        self.orders.append((fault, target))
        self.message = f"{fault} at {self.fault.get('node')}: the engine says exited"
        if self._begun is None:
            self._begun = time.monotonic()
        return True

    def heal(self) -> bool:
        self.orders.append(())
        self.message = "healed everything"
        return True

    def watching(self) -> Watching:
        """The watch of this lab."""
        watching = Watching(self, Reducer(LabShape(""), "live", self.wall))
        watching.control = self  # type: ignore[assignment]
        return watching


def _named(event: Event, name: str) -> Event:
    """Give the lab of a run another name."""
    if event.kind != "run":
        return event
    return Event(
        event.t, "run", {**event.data, "topology": {**event.data["topology"], "name": name}}
    )


@contextlib.contextmanager
def served(lab: StagedLab, *, control: bool = True) -> Iterator[str]:
    """A lab on a page, as `halab watch LAB --web --control`; yields the address."""
    watching, broadcast = lab.watching(), Broadcast()
    teller = threading.Thread(target=web.tell, args=(watching, broadcast))
    with web.serving(broadcast, control=watching.control if control else None) as server:
        teller.start()
        try:
            yield server.address
        finally:
            watching.ended.set()
            teller.join()


class StagedLabs:
    """Several labs, of which one cannot be watched."""

    def __init__(self, *names: str) -> None:
        self.labs = {name: StagedLab(name=name) for name in names}

    @contextlib.contextmanager
    def watch(self, name: str) -> Iterator[Watching]:
        if name not in self.labs:
            raise LabError(f"lab `{name}` is only half there")
        yield self.labs[name].watching()

    @contextlib.contextmanager
    def served(self, *more: str) -> Iterator[tuple[LabGrid, str]]:
        grid = LabGrid(self.watch, control=True)
        try:
            with web.serving(grid.broadcast, labs=grid.find) as server:
                grid.follow([*self.labs, *more])
                yield grid, server.address
        finally:
            grid.close()
