"""Did you mean …? The known name that a misspelt one is closest to."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 60
"""difflib takes quadratic time, and no misspelt name has a thousand letters."""


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known name that is closest to this one; empty if none is as alike as `cutoff`.

    `cutoff` is from 0 (nothing in common) to 1 (equal).
    """
    close = difflib.get_close_matches(name[:LONGEST], list(known), n=1, cutoff=cutoff)
    return close[0] if close else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "did you mean `x`?", or the list of what is known."""
    names = list(known)
    # Keys are short: `tokn` is less like `token` than two longer names with one letter changed.
    close = closest(name, names, cutoff=0.5)
    return f"did you mean `{close}`?" if close else f"known: {', '.join(names)}"
