"""The administrator's kubeconfig, out of what running masters answer to a status query anyway.

A command of its own would take one of them as long as all its other answers.
"""

from __future__ import annotations

import contextlib
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BEGIN, END = "admin-kubeconfig", "admin-kubeconfig-end"


class KubeconfigAnswer:
    """The kubeconfig that the first of several masters prints, before its other answers."""

    def __init__(self, path: str, masters: int) -> None:
        """Expect this file of so many masters."""
        self._path, self._masters = path, masters
        self._answers: SimpleQueue[str] = SimpleQueue()

    @property
    def script(self) -> str:
        """Shell that prints the file; it comes first in what a master is asked."""
        return f"echo {BEGIN}; cat {self._path} 2>/dev/null; echo; echo {END}"

    @contextlib.contextmanager
    def listening(self) -> Iterator[Callable[[bytes], None]]:
        """Yield what hears the output of one master as it comes.

        With the end of the block, that master has answered, or never will.
        """
        printed = bytearray()
        answered = False

        def hear(chunk: bytes) -> None:
            nonlocal answered
            printed.extend(chunk)
            if not answered and (text := _between(printed.decode(errors="replace"))) is not None:
                answered = True
                self._answers.put(text)

        try:
            yield hear
        finally:
            if not answered:
                self._answers.put("")

    def first(self) -> str:
        """Wait for the first master that has it; return "" once all have ended without it."""
        answers = (self._answers.get() for _ in range(self._masters))
        return next(filter(None, answers), "")


def _between(output: str) -> str | None:
    """Return the file; None before all of it is printed."""
    _, begun, rest = output.partition(f"{BEGIN}\n")
    text, ended, _ = rest.partition(f"\n{END}\n")
    return text.strip() if begun and ended else None
