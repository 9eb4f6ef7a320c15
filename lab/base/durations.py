"""Durations as people write them: 500us, 400ms, 20s, 2.5m, 24h. Callers say which units count."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

UNITS = ("ms", "s", "m")
"""The units that most places take."""
NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_MILLISECONDS = {
    "us": Decimal("0.001"),
    "ms": Decimal(1),
    "s": Decimal(1000),
    "m": Decimal(60_000),
    "min": Decimal(60_000),
    "h": Decimal(3_600_000),
}
_DURATION = re.compile(rf"({NUMBER})([a-z]+)")


def milliseconds(text: str, units: Collection[str] = UNITS) -> float | None:
    """Return a duration in milliseconds; None if the text is none in one of these units.

    Exact for every decimal fraction: 1.001s is 1001, not 1000.9999999999999.
    """
    match = _DURATION.fullmatch(text)
    if not match or match[2] not in units:
        return None
    return float(Decimal(match[1]) * _MILLISECONDS[match[2]])


def spell(whole_ms: int) -> str:
    """Return whole milliseconds as a person would write them: 400ms, 30s, 5m."""
    if whole_ms % 60_000 == 0:
        return f"{whole_ms // 60_000}m"
    return f"{whole_ms // 1000}s" if whole_ms % 1000 == 0 else f"{whole_ms}ms"
