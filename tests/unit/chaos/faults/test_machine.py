from __future__ import annotations

import pytest

from lab.chaos.faults import machine


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T00:00:00.123456789Z", 0.123456789),
        ("", None),
    ],
)
def test_the_engines_time(word: str, value: float | None) -> None:
    assert machine.seconds(word) == (None if value is None else pytest.approx(value))
