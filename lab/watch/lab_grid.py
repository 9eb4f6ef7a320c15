"""Several labs on one page: a card with each one's health, and all of one for whoever opens it.

Each lab has a watch of its own. What nobody looks at is reduced as well, for the card, but its
states are made seldom and with few cells: a lab more costs little.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.base.errors import LabError
from lab.watch import web
from lab.watch.broadcast import GRID, Broadcast
from lab.watch.delta import PlainStates
from lab.watch.page import PageSize
from lab.watch.web import Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from lab.watch.fault_control import FaultControl
    from lab.watch.state import WatchState
    from lab.watch.watching import Watching

QUIET_S = 0.5
"""Between two looks at a lab that nobody has opened; what happens is shown at once."""
AGAIN_S = 3.0
"""Until a lab that could not be watched is tried again: it may be half started."""
PLACES = 1
"""Digits after the point of a card's seconds."""


@dataclass(frozen=True, slots=True)
class CardSize:
    """A card's strip: two minutes, as the page's."""

    cells: int = 60
    cell_s: float = 2.0


def card(state: WatchState) -> dict[str, Any]:
    """Return what a card shows of a lab: its health, and the way that most users take."""
    way = state.strips[0] if state.strips else None
    outage = way.outage if way else None
    return {
        "name": state.lab,
        "health": state.health,
        "why": state.why,
        "label": way.label if way else "",
        "cells": way.cells if way else "",
        "outage": None if outage is None else round(outage, PLACES),
        "longest": round(way.longest, PLACES) if way else 0.0,
    }


def silent_card(name: str, why: str) -> dict[str, Any]:
    """Return the card of a lab of which nothing is known."""
    nothing = {"label": "", "cells": "", "outage": None, "longest": 0.0}
    return {"name": name, "health": "unknown", "why": why, **nothing}


class LabGrid:
    """The labs of a page, each watched by a thread."""

    def __init__(
        self, watch: Callable[[str], AbstractContextManager[Watching]], *, control: bool = False
    ) -> None:
        """Nothing is watched yet. `watch` opens the watch of a lab, by its name."""
        self.broadcast = Broadcast(GRID)
        self._watch, self._may_control = watch, control
        self._labs: dict[str, _LabOfGrid] = {}
        self._cards: dict[str, dict[str, Any]] = {}
        self._turn = threading.Lock()
        self._tell()

    def follow(self, names: Iterable[str]) -> None:
        """Watch these labs and no others."""
        watched = set(names)
        for name in sorted(watched - self._labs.keys()):
            self._tell(name, silent_card(name, "is being looked at …"))
            self._labs[name] = _LabOfGrid(name, self._watch, self._tell)
        gone = [self._labs.pop(name) for name in sorted(self._labs.keys() - watched)]
        self._end(gone)

    def find(self, name: str) -> Shown | None:
        """Return what a page shows of a lab; None if it is not watched."""
        one = self._labs.get(name)
        if one is None:
            return None
        return Shown(one.broadcast, one.control if self._may_control else None)

    @property
    def controls(self) -> tuple[FaultControl, ...]:
        """What may have broken a lab."""
        controls = [one.control for one in self._labs.values()] if self._may_control else []
        return tuple(control for control in controls if control is not None)

    def close(self) -> None:
        """End all watches. Whoever asks for a lab meanwhile hears that its watch has ended."""
        self._end(list(self._labs.values()))

    def _end(self, labs: list[_LabOfGrid]) -> None:
        for one in labs:
            one.ended.set()
        for one in labs:
            one.thread.join()
            with self._turn:
                self._cards.pop(one.name, None)
        self._tell()

    def _tell(self, name: str = "", card: dict[str, Any] | None = None) -> None:
        with self._turn:
            if card is not None:
                self._cards[name] = card
            self.broadcast.publish({"labs": [each for _, each in sorted(self._cards.items())]})


class _LabOfGrid:
    """One lab, and the thread that watches it until it is ended."""

    def __init__(
        self,
        name: str,
        watch: Callable[[str], AbstractContextManager[Watching]],
        tell: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self.name, self._watch, self._tell = name, watch, tell
        self.broadcast = Broadcast()
        self.ended = threading.Event()
        self.control: FaultControl | None = None
        self.thread = threading.Thread(target=self._work, name=f"halab-grid-{name}", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while not self.ended.is_set():
            try:
                with self._watch(self.name) as watching:
                    self._show(watching)
            except (LabError, OSError) as error:
                why = error.message if isinstance(error, LabError) else str(error)
                self._tell(self.name, silent_card(self.name, why))
                self.ended.wait(AGAIN_S)
        self.broadcast.close()

    def _show(self, watching: Watching) -> None:
        watching.ended = self.ended
        self.control = watching.control
        values = PlainStates()
        while True:
            small = watching.look(CardSize())
            self._tell(self.name, card(small))
            if read := self.broadcast.is_read:
                self.broadcast.publish(values.of(watching.look(PageSize())))
            else:
                self.broadcast.forget()
            if watching.is_ended_within(web.EVERY_S if read else QUIET_S):
                return
