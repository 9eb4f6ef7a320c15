"""Records of healed faults stay for a while, and say which fencings were halab's own work."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from typing import TYPE_CHECKING

from lab.live.active_faults import (
    CLEAR,
    FOLDER,
    PRINT,
    ActiveFault,
    FaultRecords,
    HealedFault,
    parse_healed,
    printed,
)
from lab.live.master_status import MasterStatus
from lab.live.status import HEALED_LATELY_S, _fencings
from lab.nodes.ha.fencings import Fencing

if TYPE_CHECKING:
    from pathlib import Path

CRASH = ActiveFault(id="abc", fault="crash", node="m2", since=100.0)


def cleared(folder: Path, *names: str) -> set[str]:
    """Run the script that clears records, on a folder of its own."""
    script = CLEAR.replace(FOLDER, str(folder))
    subprocess.run(
        ["sh", "-c", script, "clear", *(str(folder / name) for name in names)], check=True
    )
    return {path.name for path in folder.iterdir()}


def test_healed_fault_keeps_its_record_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "abc.json").write_text(json.dumps(asdict(CRASH)))
    (tmp_path / "other.json").write_text("{}")
    left = cleared(tmp_path, "abc.json") - {"other.json"}
    (name,) = left
    found = parse_healed((tmp_path / name).read_bytes(), f"{FOLDER}/{name}", "m2")
    assert (found.fault, found.node, found.since) == ("crash", "m2", 100.0)
    assert found.until > found.since


def test_empty_record_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "abc.json").touch()
    assert cleared(tmp_path, "abc.json", "never-there.json") == set()


def test_fencing_is_halabs_own_work_during_a_fault_and_shortly_after() -> None:
    healed = HealedFault(fault="crash", node="m2", since=100.0, until=120.0)
    times = {"before": 90, "during": 101, "late": 120 + int(HEALED_LATELY_S), "after": 200}
    fencings = tuple(Fencing(name, at, 1.0, 2, host_busy=False) for name, at in times.items())
    told = _fencings([MasterStatus(fencings=fencings)], FaultRecords(healed=(healed,)))
    assert {each.node for each in told if each.faults == ("crash at m2",)} == {"during", "late"}
    active = _fencings([MasterStatus(fencings=fencings)], FaultRecords(active=(CRASH,)))
    assert {each.node for each in active if each.faults} == {"during", "late", "after"}


def shown(folder: Path) -> str:
    """Run the script that prints records, on a folder of its own."""
    script = PRINT.replace(FOLDER, str(folder))
    return subprocess.run(["sh", "-c", script], capture_output=True, check=True, text=True).stdout


def test_node_prints_its_records_among_other_lines(tmp_path: Path) -> None:
    late = ActiveFault(id="def", fault="hang", node="m2", since=200.0)
    (tmp_path / "abc.json").write_text(json.dumps(asdict(CRASH), indent=1))
    (tmp_path / "def.json").write_text(json.dumps(asdict(late)))
    (tmp_path / "ghi.json").touch()
    (tmp_path / "jkl.json.120.healed").write_text(json.dumps({"fault": "rate", "since": 110}))
    output = f"{shown(tmp_path)}2: eth0    inet 172.30.0.50/24\n"
    healed = HealedFault(fault="rate", node="m2", since=110.0, until=120.0)
    assert printed(output, "m2") == FaultRecords((CRASH, late), (healed,))


def test_node_without_records_says_so_and_one_that_was_cut_short_says_nothing(
    tmp_path: Path,
) -> None:
    assert printed(shown(tmp_path / "never-made"), "m2") == FaultRecords()
    assert printed("fault-record abc.json {}\n", "m2") is None
