"""Faults without a lab: the options they refuse, the rules they write, the answers they read.

The engine is a double.
"""

from __future__ import annotations

import pytest
from faultdoubles import TOPOLOGY, FaultEngine, hit, site

from lab.chaos import faults, targets


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("partition", {"way": "up"}),
        ("partition", {"port": "ssh"}),
        ("partition", {"from": "nobody"}),
        ("partition", {"shape": "star"}),
        ("partition", {"shape": "ring", "from": "w1"}),
        ("partition", {"shape": "ring", "way": "out"}),
        ("loss", {"percent": "0"}),
        ("loss", {"percent": "101"}),
        ("latency", {"delay": "soon"}),
        ("latency", {"jitter": "-1ms"}),
        ("latency", {"means": "magic"}),
        ("corrupt", {"percent": "0"}),
        ("reorder", {"percent": "x"}),
        ("rate", {"rate": "1; rm"}),
        ("cpu", {"cores": "0"}),
        ("memory", {"spare": "1g"}),
        ("disk-slow", {"fsync": "x"}),
        ("clock-skew", {"by": "60"}),
        ("clock-skew", {"by": "1s"}),
        ("clock-skew", {"unit": "corosync"}),
        ("service-kill", {"unit": "etcd", "whom": "some"}),
        ("bmc-unreachable", {"device": "eth0"}),
        ("bmc-unreachable", {"device": "a b"}),
        ("nic-down", {"device": "a;b"}),
        ("nic-down", {"device": "eth7"}),
        ("service-stop", {}),
    ],
)
def test_a_bad_option_is_said_before_anything_changes(fault: str, options: dict[str, str]) -> None:
    engine = FaultEngine()
    assert faults.find(fault).check(site(engine=engine), {**faults.find(fault).options, **options})
    assert not [line for line in engine.asked if " add " in line or "systemd-run" in line]


def test_what_was_powered_on_anew_needs_no_mending() -> None:
    for name in (
        "partition",
        "latency",
        "disk-full",
        "clock-skew",
        "service-stop",
        "vip-doubled",
        "rate",
        "bmc-unreachable",
        "nic-down",
    ):
        engine = FaultEngine()
        faults.find(name).heal(
            site(engine=engine),
            hit(name, {"started": "earlier", "means": "delay", "device": "made"}, unit="etcd"),
        )
        # Of the VIP's holder alone something is asked, whoever claimed it: to say where it is.
        assert [words for words in engine.asked if "arping" not in words] == [], name
        engine.containers["halab-x-m"].state = "exited"
        faults.find(name).heal(site(engine=engine), hit(name, {"started": "then"}, unit="etcd"))


def test_several_targets_by_commas_each_once() -> None:
    assert targets.resolve("m,role:worker,w1", TOPOLOGY, lambda: pytest.fail("not asked"), 1) == (
        "m",
        "w1",
        "w2",
        "w3",
    )
