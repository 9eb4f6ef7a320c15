"""Answers for people: the status of a lab."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lab.cli import output
from lab.live.status import LabStatus, NodeStatus
from lab.nodes.ha.fencings import Fencing

if TYPE_CHECKING:
    import pytest


LAB = LabStatus(
    name="3m3w", distribution="k3s", release="", api="-", vip="-", vip_holders=(),
    etcd_leader="", nodes=(), fencing=True, fenced="reboot", fencings=(), bmc="exited",
    addons=(), faults=(), problems=(),
)  # fmt: skip
NODE = NodeStatus(
    name="w1", role="worker", ip="-", state="running", kubernetes="Ready", version="v1", etcd="-",
    vip=False,
)  # fmt: skip


def rows(lab: LabStatus, capsys: pytest.CaptureFixture[str]) -> list[str]:
    output.status(lab)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_status_has_a_row_for_the_baseboard_controllers(capsys: pytest.CaptureFixture[str]) -> None:
    assert "bmc bmc - exited - - - -" in rows(LAB, capsys)


def test_status_shows_limits_only_where_there_are_some(capsys: pytest.CaptureFixture[str]) -> None:
    limited = replace(NODE, name="w2", cpus=0.5, memory=768 * 1024**2)
    shown = rows(replace(LAB, nodes=(NODE, limited)), capsys)
    assert any(line.endswith("API VIP AT MOST") for line in shown)
    assert "w2 worker - running Ready v1 - - 0.5 cpus, 768 MiB" in shown
    plain = rows(replace(LAB, nodes=(NODE,)), capsys)
    assert any(line.endswith("API VIP") for line in plain)


def test_status_says_how_a_fenced_machine_comes_back_while_it_is_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fencing = Fencing(node="w1", at=0, load=45.0, processors=2, host_busy=True)
    off = replace(LAB, nodes=(replace(NODE, state="exited"),), fencings=(fencing,))
    assert rows(off, capsys)[-1].endswith("; `halab start 3m3w w1` powers it on")
    runs_again = replace(off, nodes=(NODE,))
    assert rows(runs_again, capsys)[-1].endswith("which may be the reason")
    by_a_fault = replace(off, fencings=(replace(fencing, faults=("crash at w1",)),))
    assert rows(by_a_fault, capsys)[-1].endswith("on 2 processors")
