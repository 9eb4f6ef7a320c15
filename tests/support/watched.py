"""Reducers for tests of the watch: a known lab, fed with a known history."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import histories

from lab.analysis.history.events import Event
from lab.watch import recording
from lab.watch.lab_shape import LabShape
from lab.watch.reducer import Reducer
from lab.watch.source import heard

if TYPE_CHECKING:
    from lab.analysis.history.events import History
    from lab.watch.state import WatchState

SHAPE = LabShape(
    "3m3w",
    (("m", "master"), ("m2", "master"), ("m3", "master"), ("w1", "worker"), ("lb", "loadbalancer")),
    "172.30.0.50",
)


@cache
def good() -> History:
    return histories.good()


@cache
def recorded() -> dict[str, Any]:
    """The run for a page; it takes a second to make."""
    return recording.record(good())


@cache
def good_until(until: float) -> Reducer:
    """A reducer that is looked at and not fed any more: a history has ten thousand events."""
    return played(good(), until)


def played(history: History, until: float) -> Reducer:
    reducer = Reducer(SHAPE, "replay")
    for event in heard(history):
        if event.end <= until:
            reducer.feed(event)
    return reducer


def at(until: float, history: History | None = None) -> WatchState:
    if history is None:
        return good_until(until).view(until)
    return played(history, until).view(until)


def fed(*events: Event) -> Reducer:
    reducer = Reducer(SHAPE)
    for event in events:
        reducer.feed(event)
    return reducer


def machine(node: str, state: str, t: float = 1.0) -> Event:
    return Event(t, "machine", {"node": node, "state": state})


def nodes(t: float, **words: str) -> Event:
    return histories.sample("nodes", t, ok=True, value=words)
