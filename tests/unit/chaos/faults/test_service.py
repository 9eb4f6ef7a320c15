from __future__ import annotations

import pytest
from faultdoubles import FaultEngine, hit, site

from lab.chaos import faults
from lab.engine.commands import Result


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("service-kill", {}, "kill --signal=SIGKILL --kill-whom=main containerd"),
        ("service-kill", {"whom": "all"}, "kill --signal=SIGKILL --kill-whom=all containerd"),
        ("service-hang", {}, "kill --signal=SIGSTOP --kill-whom=all containerd"),
        ("service-stop", {}, "stop containerd"),
    ],
)
def test_a_killed_daemon_leaves_its_children(
    fault: str, options: dict[str, str], words: str
) -> None:
    engine = FaultEngine({"is-active": Result(0, "active"), "MainPID": Result(0, "7")})
    place, found = site(engine=engine), faults.find(fault)
    given = {**found.options, "unit": "containerd", **options}
    assert found.check(place, given) == ""
    found.inject(place, hit(fault, found.prepare(place, given), **given))
    assert engine.asked[-1] == f"systemctl {words}"
