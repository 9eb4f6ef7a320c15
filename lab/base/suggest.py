"""Did you mean …? The known name that a misspelt one is closest to."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 60
"""difflib takes quadratic time, and nobody means a word of ours by one of a thousand letters."""


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known name that is closest to a word; empty if none is close (0 to 1)."""
    close = difflib.get_close_matches(word[:LONGEST], list(known), n=1, cutoff=cutoff)
    return close[0] if close else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean `x`?", or the list of what is known."""
    names = list(known)
    # Keys are short: `tokn` shares less with `token` than 0.6 asks for in a longer word.
    close = closest(word, names, cutoff=0.5)
    return f"did you mean `{close}`?" if close else f"known: {', '.join(names)}"
