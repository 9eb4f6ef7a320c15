"""A listener that hears what a test says, and no agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.measure.listener import Listener

if TYPE_CHECKING:
    from lab.analysis.history.events import Event

M, X = "02:42:ac:1e:14:31", "02:42:ac:1e:14:99"


class SpokenDouble:
    """A double of a conversation with an agent."""

    def __init__(self, *chunks: tuple[bool, list[bytes]]) -> None:
        self.chunks = chunks

    def lines(self):
        yield from self.chunks

    def close(self) -> None:
        pass


def listened(*chunks: tuple[bool, list[bytes]]) -> tuple[Listener, list[Event]]:
    written: list[Event] = []
    listener = Listener(SpokenDouble(*chunks), 0.0, written.extend, lambda: {M: "m"})
    listener.join(10)
    return listener, written
