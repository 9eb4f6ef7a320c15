"""rate: the fault that `lab/README.md` names as the one to copy, and so its test."""

from __future__ import annotations

import pytest
from faultdoubles import FaultEngine, hit, site

from lab.chaos import faults, qdisc
from lab.engine.commands import Result

RATE = faults.find("rate")
THERE = f"qdisc tbf {qdisc.HANDLE} root refcnt 2\n Sent {{}} bytes 9 pkt"


def shows(text: str) -> FaultEngine:
    """An engine whose nodes' tc shows this."""
    return FaultEngine({"tc -s qdisc show": Result(0, text)})


@pytest.mark.parametrize(("rate", "right"), [("500kbit", True), ("1.5mbit", True), ("fast", False)])
def test_rate_checks_what_tc_would_refuse(rate: str, right: bool) -> None:  # noqa: FBT001
    assert (RATE.check(site(engine=shows("")), {"rate": rate}) == "") is right


def test_rate_is_refused_when_a_discipline_of_a_fault_is_there() -> None:
    reason = RATE.check(site(engine=shows(THERE.format(1))), {"rate": "1mbit"})
    assert reason == "m has such a fault already: heal that first"


def test_rate_is_missing_when_the_kernel_does_not_know_tbf() -> None:
    engine = FaultEngine({"tbf": Result(2, "Error: Specified qdisc kind is unknown: Unknown")})
    assert RATE.missing(site(engine=engine)) == "this kernel lacks tbf"
    assert RATE.missing(site(engine=FaultEngine())) == ""


def test_rate_puts_tbf_in_place_of_what_was_there() -> None:
    engine = FaultEngine()
    RATE.inject(site(engine=engine), hit("rate", rate="2mbit"))
    place = f"tc qdisc replace dev {qdisc.DEVICE} root handle {qdisc.HANDLE}"
    assert engine.asked == [f"{place} tbf rate 2mbit burst 16kb latency 400ms"]


@pytest.mark.parametrize(
    ("shown", "evidence"),
    [
        (THERE.format(700), f"{THERE.splitlines()[0]}: 700 bytes went through"),
        (THERE.format(0), ""),
        ("qdisc noqueue 0: root", ""),
    ],
)
def test_rate_has_evidence_when_packets_went_through(shown: str, evidence: str) -> None:
    assert RATE.evidence(site(engine=shows(shown)), hit("rate")) == evidence


def test_rate_heals_twice_as_once() -> None:
    delete = f"tc qdisc del dev {qdisc.DEVICE} root"
    engine = shows(THERE.format(1))
    RATE.heal(site(engine=engine), hit("rate"))
    assert engine.asked[-1] == delete
    healed = shows("qdisc noqueue 0: root")
    RATE.heal(site(engine=healed), hit("rate"))
    assert delete not in healed.asked
