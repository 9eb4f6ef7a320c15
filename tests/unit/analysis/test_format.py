from __future__ import annotations

import math

from lab.analysis.format import seconds


def test_times_for_people() -> None:
    texts = {
        0.0: "0 ms",
        0.0204: "20 ms",
        0.9: "900 ms",
        3.003: "3.003 s",
        12.3456: "12.35 s",
        math.inf: "never ended",
    }
    assert {value: seconds(value) for value in texts} == texts
