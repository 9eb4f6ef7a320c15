"""A watch's newest state for many readers, each as fast as it can.

No queue: a reader that keeps up gets what changed, one that was late gets the newest state as a
whole. So a slow reader costs nothing, and each text is made once, however many read.
"""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.watch.delta import SAME, difference

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE, CHANGE, GRID, RUN, END = "state", "change", "grid", "run", "end"
"""Kinds of messages: a whole state, what changed since the message before (delta.py), the cards of
several labs (lab_grid.py), all of a run that is over (recording.py), and that nothing will
follow."""


def message(kind: str, value: Any) -> bytes:  # noqa: ANN401 (any JSON value)
    """Return a server-sent event (WHATWG HTML, 9.2): its kind, and its data on one line."""
    text = json.dumps(value, separators=(",", ":"))
    return f"event: {kind}\ndata: {text}\n\n".encode()


@dataclass(slots=True)
class Broadcast:
    """The newest state, and what changed last."""

    kind: str = STATE
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _version: int = 0
    """Counts states; 0: there was none yet."""
    _state: Any = None
    _whole: bytes = b""
    """The state as a message; empty until a reader wants it."""
    _change: bytes = b""
    _closed: bool = False
    _readers: int = 0

    @property
    def is_read(self) -> bool:
        """Whether somebody reads: whoever makes states may save the trouble."""
        return self._readers > 0

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Count a reader while the block runs."""
        with self._changed:
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1

    def forget(self) -> None:
        """Have no state if nobody reads: whoever comes then waits for a new one."""
        with self._changed:
            if not self._readers:
                self._version, self._state, self._whole = 0, None, b""

    def publish(self, state: Any) -> None:  # noqa: ANN401 (any JSON value)
        """Make a state the newest one; the same as before is none."""
        change = difference(self._state, state)
        if change is SAME:
            return
        text = message(CHANGE, change) if self._version else b""
        with self._changed:
            self._state, self._whole, self._change = state, b"", text
            self._version += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Tell all readers that nothing will follow."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def after(self, version: int) -> tuple[int, bytes]:
        """Wait for a newer state than the one of number `version`, 0 for none.

        Return its number and the message for whoever has that one. The number is 0 with the last
        message of all.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._version > version)
            if self._version <= version:
                return 0, message(END, {})
            if version and version == self._version - 1:
                return self._version, self._change
            if not self._whole:
                self._whole = message(self.kind, self._state)
            return self._version, self._whole
