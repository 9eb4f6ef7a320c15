from __future__ import annotations

import pytest
from faultdoubles import FaultEngine, hit, site

from lab.chaos import faults
from lab.chaos.faults import traffic
from lab.engine.commands import Result


@pytest.mark.parametrize(
    ("word", "value"),
    [("500us", 0.5), ("100ms", 100), ("1.5s", 1500), ("5", None), ("-1s", None), ("1m", None)],
)
def test_times_of_tc(word: str, value: float | None) -> None:
    assert traffic.milliseconds(word) == value


def test_latency_takes_the_means_that_are_there_and_must_show_late_pings() -> None:
    ping = "rtt min/avg/max/mdev = 0.1/{}/0.3/0.0 ms"
    engine = FaultEngine(
        {
            "netem delay": Result(1, "Error: Specified qdisc kind is unknown."),
            "ping -n": Result(0, ping.format("0.2")),
        }
    )
    place, fault = site(engine=engine), faults.find("latency")
    assert fault.missing(place) == ""
    before = fault.prepare(place, fault.options)
    assert before["means"] == "delay"
    one = hit("latency", before)
    assert fault.evidence(place, one) == ""
    engine.answers["ping -n"] = Result(0, ping.format("100.4"))
    assert "0.2 ms before, 100.4 ms now" in fault.evidence(place, one)
    assert fault.evidence(place, one).startswith("halab-delay")
    engine.answers = {"netem delay": Result(1, "Unknown qdisc"), "NFQUEUE": Result(1, "no NFQUEUE")}
    assert "netem" in fault.missing(place)
    assert "NFQUEUE" in fault.missing(place)
