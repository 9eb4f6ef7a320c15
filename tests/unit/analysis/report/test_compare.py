from __future__ import annotations

import json
from typing import TYPE_CHECKING

from histories import FIRE, changed
from html_page import parsed
from judged import WANTED

from lab.analysis import report

if TYPE_CHECKING:
    from lab.analysis.history.events import History


def test_two_runs_side_by_side(good: History, crash: report.Report) -> None:
    slower = changed(
        good,
        lambda event: (
            {"ok": False} if event.get("probe") == "api.vip.new" and FIRE < event.t < 14 else None
        ),
    )
    other = changed(slower, lambda event: {"distribution": "k3s"} if event.kind == "run" else None)
    comparison = report.compare(crash, report.build(other, report.judge(other, WANTED)))
    assert [(row.name, row.a, row.b) for row in comparison.about] == [
        ("distribution", "upstream", "k3s")
    ]
    rows = {row.name: row for row in comparison.figures}
    assert rows["longest outage of api.vip.new"].change == "2.500 s longer"
    assert rows["longest outage of api.lb.new"].change == "the same within resolution"
    assert rows["failover(vip) <= 3s"].change == "pass → fail"
    page = parsed(report.comparison_html(comparison))
    assert page.addresses == []
    assert page.seen.count("svg") == 2
    assert json.loads(report.comparison_json(comparison))["b"]["outcome"] == "fail"
    assert "pass → fail" in report.comparison_text(comparison)
