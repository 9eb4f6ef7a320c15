"""Foreign text in messages, shown safely."""

from __future__ import annotations

_SHOWN = 60
"""The most characters of foreign text in a message."""


def shown(text: str) -> str:
    """Return foreign text fit for a message: short, and harmless to the terminal.

    Control characters and lone surrogates are escaped.
    """
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in short
    )
