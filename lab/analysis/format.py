"""Figures as people read them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.analysis.verdicts import Figure


TEN = 10
"""Below so many seconds milliseconds are told: `3.00 s` is no reason why `<= 3s` was not met."""


def seconds(value: float) -> str:
    """Write a time for people: milliseconds below one second."""
    if math.isinf(value):
        return "never ended"
    return (
        f"{value * 1000:.0f} ms"
        if abs(value) < 1
        else f"{value:.3f} s"
        if abs(value) < TEN
        else f"{value:.2f} s"
    )


def with_resolution(figure: Figure) -> str:
    """Write a figure for people, with its resolution."""
    if figure.value is None:
        return "not measured"
    if figure.unit != "s":
        return f"{figure.value:g}"
    return seconds(figure.value) + (f" ± {seconds(figure.resolution)}" if figure.resolution else "")
