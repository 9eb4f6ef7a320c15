from __future__ import annotations

import pytest

from lab.analysis.report import svg


@pytest.mark.parametrize("end", [0.001, 0.5, 7.0, 30.0, 1234.0, 86400.0])
def test_ticks_are_round_and_few(end: float) -> None:
    ticks = svg.ticks(0.0, end)
    assert 3 <= len(ticks) <= 12
    assert all(0 <= tick <= end * 1.001 for tick in ticks)
