from __future__ import annotations

import pytest

from lab.chaos.faults import clock


@pytest.mark.parametrize(
    ("word", "value"), [("+60s", 60), ("-5m", -300), ("24h", 86400), ("60", None), ("1d", None)]
)
def test_skews(word: str, value: int | None) -> None:
    assert clock.seconds(word) == value
