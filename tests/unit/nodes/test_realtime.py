"""Real time for Corosync: asked for everywhere, with a budget where the kernel wants one."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from lab.base.errors import LabError
from lab.host import engine_cgroup
from lab.host import realtime as doctor_realtime
from lab.nodes.ha import corosync, realtime

if TYPE_CHECKING:
    from pathlib import Path

    from lab.topology.model import Topology

CGROUPFS, SYSTEMD = {"CgroupDriver": "cgroupfs"}, {"CgroupDriver": "systemd"}


def play(root: Path) -> None:
    """Run what Corosync's unit runs before it, with cgroups in a folder."""
    line = realtime.UNIT.removeprefix("ExecStartPre=-/bin/sh -c '").rstrip().removesuffix("'")
    script = line.replace("$$", "$").replace("/sys/fs/cgroup", str(root))
    subprocess.run(["sh", "-c", script], check=True, timeout=60)


def test_corosync_asks_for_real_time_and_stays_in_its_own_cgroup(topology: Topology) -> None:
    text = corosync.corosync_conf(topology)
    assert "  sched_rr: yes\n" in text
    assert "  move_to_root_cgroup: no\n" in text


def test_corosync_takes_a_budget_from_its_machines_cgroup_down_to_its_own(tmp_path: Path) -> None:
    places = [tmp_path / "cpu" / place for place in realtime.PLACES]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    play(tmp_path)
    assert [(place / "cpu.rt_runtime_us").read_text() for place in places] == ["20000\n"] * 3
    assert [(place / "cpu.rt_period_us").read_text() for place in places] == ["200000\n"] * 3


def test_corosync_starts_where_there_are_no_budgets(tmp_path: Path) -> None:
    play(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(engine_cgroup, "CPU", tmp_path)
    (tmp_path / "cpu.rt_runtime_us").write_text("950000\n")
    return tmp_path


def test_kernels_without_budgets_have_no_finding(cpu: Path) -> None:
    (cpu / "cpu.rt_runtime_us").unlink()
    assert doctor_realtime.look(CGROUPFS) == []


@pytest.mark.parametrize(("info", "place"), [(CGROUPFS, "docker"), (SYSTEMD, "system.slice")])
def test_an_engine_without_a_budget_is_given_one(
    cpu: Path, info: dict[str, str], place: str
) -> None:
    (finding,) = doctor_realtime.look(info)
    assert (finding.name, finding.state, finding.fixable) == ("real time", "warning", True)
    messages: list[str] = []
    assert doctor_realtime.fix(info, messages.append).state == "ok"
    assert (cpu / place / "cpu.rt_runtime_us").read_text() == "900000"
    assert len(messages) == 1
    assert doctor_realtime.look(info)[0].state == "ok"


def test_a_kernel_that_refuses_the_budget_is_told(cpu: Path) -> None:
    (cpu / "docker").touch()
    with pytest.raises(LabError, match="cannot be set to 900000"):
        doctor_realtime.fix(CGROUPFS, lambda _: None)
