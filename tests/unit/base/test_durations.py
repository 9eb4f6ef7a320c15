"""Durations: exact, in the units that the reader takes, and spelt as people write them."""

from __future__ import annotations

import pytest

from lab.base import durations


@pytest.mark.parametrize(
    ("text", "units", "value"),
    [
        ("500us", ("us", "ms"), 0.5),
        ("1.001s", durations.UNITS, 1001),
        ("2.5m", durations.UNITS, 150_000),
        ("1min", ("min",), 60_000),
        ("24h", ("h",), 86_400_000),
        ("24h", durations.UNITS, None),
        ("5", durations.UNITS, None),
        ("-1s", durations.UNITS, None),
        ("1 s", durations.UNITS, None),
        ("1s\n", durations.UNITS, None),
        ("٣s", durations.UNITS, None),
        (f"{'9' * 1000}s", durations.UNITS, None),
    ],
)
def test_durations_are_read_exactly(text: str, units: tuple[str, ...], value: float | None) -> None:
    assert durations.milliseconds(text, units) == value


@pytest.mark.parametrize(
    ("whole_ms", "text"), [(400, "400ms"), (1500, "1500ms"), (30_000, "30s"), (300_000, "5m")]
)
def test_durations_are_spelt_as_people_write_them(whole_ms: int, text: str) -> None:
    assert durations.spell(whole_ms) == text
    assert durations.milliseconds(text) == whole_ms
