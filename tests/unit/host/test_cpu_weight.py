"""The weight of the engine's containers against programs outside of cgroups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.base.errors import LabError
from lab.host import cpu_weight, engine_cgroup

if TYPE_CHECKING:
    from pathlib import Path

CGROUPFS, SYSTEMD = {"CgroupDriver": "cgroupfs"}, {"CgroupDriver": "systemd"}


@pytest.fixture
def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of cgroup v1's CPU controller."""
    monkeypatch.setattr(engine_cgroup, "CPU", tmp_path)
    (tmp_path / "cpu.shares").write_text("1024\n")
    return tmp_path


def test_engine_that_weighs_one_program_is_given_more(cpu: Path) -> None:
    (finding,) = cpu_weight.look(CGROUPFS)
    assert (finding.name, finding.state, finding.fixable) == ("CPU weight", "warning", True)
    lines: list[str] = []
    assert cpu_weight.fix(CGROUPFS, lines.append).state == "ok"
    assert (cpu / "docker/cpu.shares").read_text() == "16384"
    assert len(lines) == 1
    assert [finding.state for finding in cpu_weight.look(CGROUPFS)] == ["ok"]


def test_engine_under_systemd_shares_with_slices_and_has_no_finding(cpu: Path) -> None:
    assert (cpu / "cpu.shares").exists()
    assert cpu_weight.look(SYSTEMD) == []


def test_host_with_cgroup_v2_has_no_finding(cpu: Path) -> None:
    (cpu / "cpu.shares").unlink()
    assert cpu_weight.look(CGROUPFS) == []


def test_kernel_that_refuses_the_weight_is_an_error(cpu: Path) -> None:
    (cpu / "docker").touch()
    with pytest.raises(LabError, match="cannot be set to 16384"):
        cpu_weight.fix(CGROUPFS, lambda _: None)
