"""Foreign words in messages: shown safely, and what they may have meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give "did you mean `x`?" or the list of what is known."""
    names = list(known)
    # difflib takes quadratic time: nobody means a word of ours by one of a thousand letters.
    close = difflib.get_close_matches(word[:_SHOWN], names, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(names)}"


_SHOWN = 60


def shown(text: str) -> str:
    """Return foreign text as it may stand in a message: short, and no control characters or lone surrogates for the terminal."""
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in short
    )
