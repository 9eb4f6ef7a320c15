from __future__ import annotations

import histories
import pytest
from histories import FIRE, HEAL, changed, plus, without
from judged import probe

from lab.analysis.checkers import failover
from lab.analysis.history import failover_phases
from lab.analysis.history.events import Event, History


def test_failover_in_phases(good: History) -> None:
    (group,) = failover_phases.fault_groups(good)
    assert (group.t, group.faults, group.nodes, group.healed) == (FIRE, ("crash",), ("m",), HEAL)
    phases = {phase.name: phase for phase in group.phases}
    expected = {
        "membership": 0.5,
        "fenced": 0.8,
        "vip_start": 1.3,
        "vip_up": 1.4,
        "vip": 1.5,
        "write": 1.6,
        "leader": 0.9,
    }
    expected |= {"not_ready": 8.0, "endpoint": 8.2, "pods": 9.1}
    assert {name: phase.seconds for name, phase in phases.items()} == pytest.approx(
        expected, abs=0.01
    )
    assert group.missing == ("token_lost",)
    assert phases["leader"].detail == "m3, term 3"
    assert phases["vip_up"].detail == "m2"
    assert phases["pods"].detail == "1 pod replaced: c"
    assert phases["vip"].resolution == histories.INTERVAL
    assert failover.figure(good, "api.vip").value == pytest.approx(2.003, abs=1e-6)
    assert failover.figure(good, "dns").value is None


def test_what_follows_the_healing_is_no_failover(good: History) -> None:
    back = changed(good, lambda event: {"value": ["m"]} if probe(event, "vip.arp", 21.0) else None)
    calm = without(
        back,
        lambda event: (
            event.kind == "log"
            or (event.kind == "probe" and event.t < HEAL and event.get("probe") != "vip.arp")
        ),
    )
    steady = changed(
        calm, lambda event: {"value": ["m2"]} if probe(event, "vip.arp", 0, 21.0) else None
    )
    (group,) = failover_phases.fault_groups(steady)
    assert "vip_up" in group.missing


def test_faults_that_fire_together_are_one_blow(good: History) -> None:
    def fire(t: float, node: str) -> Event:
        return Event(
            t,
            "fault",
            {
                "action": "fire",
                "id": node,
                "fault": "hang",
                "node": node,
                "word": "minority",
                "detail": "",
            },
        )

    rows = failover_phases.fault_groups(plus(good, fire(FIRE + 0.1, "m2"), fire(15.0, "w1")))
    assert [(group.faults, group.nodes) for group in rows] == [
        (("crash", "hang"), ("m", "m2")),
        (("hang",), ("w1",)),
    ]
    assert rows[0].until == 15.0
