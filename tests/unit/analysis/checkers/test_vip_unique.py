from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from histories import FIRE, changed
from judged import check, dead, end, probe

from lab.analysis import report
from lab.analysis.history import vip_holders

if TYPE_CHECKING:
    from lab.analysis.history.events import Event, History


def test_two_holders_are_two_holders_whatever_became_of_the_instrument(good: History) -> None:
    def doubled(event: Event) -> dict[str, Any] | None:
        return {"value": ["m", "m2"]} if probe(event, "vip.arp", 5, 6) else None

    both = changed(dead(good, FIRE, end(137, told=False)), doubled)
    rows = report.judge(both, ["vip_unique", "not vip_unique", "vip_overlap == 0"])
    assert [row.outcome for row in rows] == ["fail", "pass", "fail"]


def test_one_double_answer_is_an_overlap_of_an_interval(good: History) -> None:
    verdict = check(
        "vip_unique",
        changed(
            good,
            lambda event: {"value": ["m", "m2"]} if probe(event, "vip.arp", 11.4, 11.41) else None,
        ),
    )
    assert verdict.outcome == "fail"
    assert verdict.figures[0].value == pytest.approx(0.02)
    assert len(vip_holders.overlaps(good)) == 0
