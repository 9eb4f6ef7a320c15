"""The tape: what happened, on one clock, each milestone once. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from lab.watch.state import TAPE, TapeEntry

TOGETHER_S = 1.0
"""Two masters log one milestone; within this time it stands on the tape once."""


@dataclass(slots=True)
class EventTape:
    """The newest entries, in the order of their times."""

    noted: int = 0
    """So many entries were put on it."""
    _entries: deque[TapeEntry] = field(default_factory=lambda: deque(maxlen=TAPE))

    @property
    def entries(self) -> tuple[TapeEntry, ...]:
        """All of them, the newest last."""
        return tuple(self._entries)

    def note(self, t: float, what: str, node: str, text: str, resolution: float = 0.0) -> None:
        """Put an entry in its place: a journal's line comes later than a sample."""
        entry = TapeEntry(t=t, what=what, node=node, text=text, resolution=resolution)
        later = []
        while self._entries and self._entries[-1].t > t:
            later.append(self._entries.pop())
        self._entries.append(entry)
        self._entries.extend(reversed(later))
        self.noted += 1

    def has(self, t: float, what: str, victim: str) -> bool:
        """Whether it tells of the same milestone: of the same victim, if one is named."""
        return any(
            entry.what == what and abs(entry.t - t) < TOGETHER_S and victim in {"", entry.node}
            for entry in self._entries
        )
