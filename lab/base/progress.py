"""Progress: long work says what it does to a Reporter; the command line decides how that looks."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Hears what long work does. It is called from several threads."""

    def say(self, subject: str, text: str) -> None:
        """Hear what a subject (a node, an image) now does, or waits for."""

    def done(self, subject: str, text: str) -> None:
        """Hear that a subject is finished, and its result."""


class Silent:
    """A Reporter that shows nothing."""

    def say(self, subject: str, text: str) -> None:
        """Ignore it."""

    def done(self, subject: str, text: str) -> None:
        """Ignore it."""
