"""Figures as text for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.analysis.verdicts import Figure


EXACT_BELOW_S = 10
"""Shorter times have milliseconds: `3.00 s` would not explain why `<= 3s` was not met."""


def seconds(value: float) -> str:
    """Return a time in seconds as text: `45 ms`, `3.002 s`, `12.34 s`, or `never ended`."""
    if math.isinf(value):
        return "never ended"
    if abs(value) < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.3f} s" if abs(value) < EXACT_BELOW_S else f"{value:.2f} s"


def with_resolution(figure: Figure) -> str:
    """Return a figure as text: `3.002 s ± 20 ms`, a plain count, or `not measured`."""
    if figure.value is None:
        return "not measured"
    if figure.unit != "s":
        return f"{figure.value:g}"
    return seconds(figure.value) + (f" ± {seconds(figure.resolution)}" if figure.resolution else "")
