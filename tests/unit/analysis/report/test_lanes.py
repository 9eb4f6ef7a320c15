from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis.report import lanes
from lab.analysis.report.model import Stretch

if TYPE_CHECKING:
    from lab.analysis import report


def test_thinning_loses_no_outage() -> None:
    stretches = tuple(
        Stretch(step, step + 1, "bad" if step % 50 == 0 else "good") for step in range(1000)
    )
    few = lanes.thinned(stretches, 0.5)
    assert len(few) <= lanes.MOST
    assert all(
        any(each.begin <= bad.begin < each.end and each.state != "good" for each in few)
        for bad in stretches
        if bad.state == "bad"
    )


def test_the_lanes_tell_what_happened(crash: report.Report) -> None:
    rows = {(lane.group, lane.name): lane.stretches for lane in crash.lanes}
    (fault,) = rows["Faults", "crash"]
    assert (fault.begin, fault.end, fault.text) == (10.0, 22.0, "crash on m (@vip-holder)")
    assert [round(stretch.end) for stretch in rows["VIP holder", "m"]] == [10]
    assert [stretch.text for stretch in rows["etcd leader", "m3"]] == ["term 3"]
    assert [stretch.state for stretch in rows["Answers", "api.vip.new"]] == ["good", "bad", "good"]
    assert [stretch.state for stretch in rows["Nodes", "m"]] == ["good", "bad", "good"]
    assert ("etcd leader", "m2") not in rows
