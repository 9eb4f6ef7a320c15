"""Boots as systemd and journals tell them."""

from __future__ import annotations

from typing import Any

from fake_engine import FakeEngine

from lab.engine.commands import Result
from lab.live import boot_times
from lab.live.boot_times import BootSpan
from lab.live.lab import Lab

OUTPUT = """\
Id=etcd.service
InactiveExitTimestamp=Fri 2026-11-27 14:00:01.250000 UTC
ActiveEnterTimestamp=Fri 2026-11-27 14:00:02.500000 UTC

Id=never.service
InactiveExitTimestamp=
ActiveEnterTimestamp=

1795788003.125000 m etcd[9]: {"msg":"ready to serve client requests"}
1795788004.500000 m kube-scheduler[9]: Serving securely on [::]:10259
1795788005.500000 m kube-apiserver[9]: Serving securely on [::]:6443
1795788009.500000 m kube-apiserver[9]: Serving securely on [::]:6443
"""
BEGIN = 1795788000.0


def test_units_and_servers_are_read_and_a_machine_that_is_off_is_left_out(topology: Any) -> None:
    engine = FakeEngine(answers={"halab-3m3w-m: sh": Result(0, OUTPUT)})
    for node in topology.containers:
        state = "running" if node.name == "m" else "exited"
        engine.add(f"halab-3m3w-{node.name}", "3m3w", state)
    found = boot_times.read(Lab(engine, topology), BEGIN)  # type: ignore[arg-type]
    assert found == (
        BootSpan("m", "etcd", BEGIN + 1.25, BEGIN + 2.5),
        BootSpan("m", "etcd serves", BEGIN + 3.125, BEGIN + 3.125),
        BootSpan("m", "API server serves", BEGIN + 5.5, BEGIN + 5.5),
    )
    # An earlier boot's are not this one's.
    assert not boot_times.read(Lab(engine, topology), BEGIN + 100)  # type: ignore[arg-type]
