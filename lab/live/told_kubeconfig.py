"""The administrator's kubeconfig, told by running masters that are asked for their status anyway.

A command of its own would take one of them as long as all its other answers.
"""

from __future__ import annotations

import contextlib
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BEGIN, END = "admin-kubeconfig", "admin-kubeconfig-end"


class ToldKubeconfig:
    """What the first of several masters tells, before its other answers."""

    def __init__(self, path: str, masters: int) -> None:
        """Expect this file of so many masters."""
        self._path, self._masters = path, masters
        self._told: SimpleQueue[str] = SimpleQueue()

    @property
    def script(self) -> str:
        """Shell that prints the file; it comes first in what a master is asked."""
        return f"echo {BEGIN}; cat {self._path} 2>/dev/null; echo; echo {END}"

    @contextlib.contextmanager
    def listening(self) -> Iterator[Callable[[bytes], None]]:
        """Yield what hears the output of one master as it comes.

        With the end of the block, that master has told it, or does not.
        """
        printed = bytearray()
        told = False

        def hear(chunk: bytes) -> None:
            nonlocal told
            printed.extend(chunk)
            if not told and (text := _between(printed.decode(errors="replace"))) is not None:
                told = True
                self._told.put(text)

        try:
            yield hear
        finally:
            if not told:
                self._told.put("")

    def first(self) -> str:
        """Wait for the first master that tells it; return "" once all have ended without it."""
        told = (self._told.get() for _ in range(self._masters))
        return next(filter(None, told), "")


def _between(output: str) -> str | None:
    """Return the file; None before all of it is printed."""
    _, begun, rest = output.partition(f"{BEGIN}\n")
    text, ended, _ = rest.partition(f"\n{END}\n")
    return text.strip() if begun and ended else None
