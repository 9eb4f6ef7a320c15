"""Progress: long work tells what it does to a Reporter; the command line decides how that looks."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Hears about long work. Called from several threads."""

    def say(self, subject: str, text: str) -> None:
        """`subject` (a node, an image) now does or waits for `text`."""

    def done(self, subject: str, text: str) -> None:
        """`subject` is finished; `text` is what came of it."""


class Silent:
    """A Reporter for callers that do not care."""

    def say(self, subject: str, text: str) -> None:
        """Drop it."""

    def done(self, subject: str, text: str) -> None:
        """Drop it."""
