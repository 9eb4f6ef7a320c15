"""Whether there is room for a lab: what is refused, what is warned of, and what is neither."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine

from lab.base.errors import InputError, LabError
from lab.engine.labels import LABEL_NODE, LABEL_ROLE
from lab.host import capacity
from lab.host.capacity import Room
from lab.topology.loader import load
from lab.topology.model import MachineSize, Role, Topology

SHIPPED = Path(__file__).parents[3] / "topologies"
REFERENCE = load(SHIPPED / "3m3w.yaml").topology
GIB = 1024**3
ENOUGH = Room(memory=24 * GIB, free_memory=20 * GIB, cpus=2, free_disk=100 * GIB, sure=True)


def warned(
    monkeypatch: pytest.MonkeyPatch,
    room: Room,
    topology: Topology = REFERENCE,
    engine: Any = None,
) -> dict[str, str]:
    monkeypatch.setattr(capacity, "look", lambda *_, **__: room)
    held = engine or FakeEngine()
    others = capacity.others(held, topology.name)
    return capacity.check(topology, held, held.observe(topology.name), others)


def test_a_host_with_room_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert warned(monkeypatch, ENOUGH) == {}
    assert warned(monkeypatch, Room()) == {}  # of which nothing is known


def test_a_host_on_which_not_even_an_idle_lab_runs_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = replace(ENOUGH, memory=GIB, free_memory=GIB)
    with pytest.raises(LabError, match=r"needs 1.61 GiB of memory.* has 1 GiB, swap included"):
        warned(monkeypatch, small)
    # Another kernel may have swap: its lab is only warned of.
    assert "1 GiB are free" in warned(monkeypatch, replace(small, sure=False))["memory"]
    assert warned(monkeypatch, small, load(SHIPPED / "1m1w.yaml").topology).keys() == {"memory"}


def test_a_host_that_is_full_now_is_only_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    full = replace(ENOUGH, free_memory=GIB)
    assert warned(monkeypatch, full)["memory"].startswith("1 GiB are free, lab 3m3w needs some 2.7")


def test_only_what_does_not_run_yet_needs_room(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, full = FakeEngine(), replace(ENOUGH, free_memory=0, free_disk=1)
    for node in REFERENCE.containers:
        labels = {LABEL_NODE: node.name, LABEL_ROLE: node.role.value}
        engine.add(f"halab-3m3w-{node.name}", "3m3w", **labels)
    assert warned(monkeypatch, full, engine=engine) == {}
    # A node that is off has its disk already.
    engine.containers["halab-3m3w-w1"].state = "exited"
    assert warned(monkeypatch, full, engine=engine).keys() == {"memory"}


def test_a_full_disk_is_refused_and_a_small_one_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match=r"needs 3.12 GiB of disk for 8 machines, 1 GiB are free"):
        warned(monkeypatch, replace(ENOUGH, free_disk=GIB))
    assert "2 GiB are free" in warned(monkeypatch, replace(ENOUGH, free_disk=2 * GIB))["disk"]


def test_processors_are_counted_with_those_of_other_labs(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    assert warned(monkeypatch, replace(ENOUGH, cpus=1), engine=engine) == {}
    for number in range(3):
        for node in REFERENCE.containers:
            engine.add(f"{number}-{node.name}", f"lab{number}", **{LABEL_ROLE: node.role.value})
    found = warned(monkeypatch, ENOUGH, engine=engine)["processors"]
    assert "idle labs take 1.6 of 2" in found
    others = capacity.others(engine, "3m3w")  # type: ignore[arg-type]
    assert capacity.count_nodes(others) == 18


def test_limits_count_instead_of_what_a_machine_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = load(SHIPPED / "3m3w.yaml", ("roles.master.memory=256MiB",)).topology
    assert (
        "needs some 1.7" in warned(monkeypatch, replace(ENOUGH, free_memory=GIB), limited)["memory"]
    )
    large = load(SHIPPED / "3m3w.yaml", ("nodes.w1.memory=64GiB", "nodes.w2.cpus=4")).topology
    assert warned(monkeypatch, ENOUGH, large) == {
        "w1": "may use 64 GiB of memory, the machine has 24 GiB",
        "w2": "may use 4 processors, the machine has 2",
    }


@pytest.mark.parametrize(("key", "ability"), [("memory", "MemoryLimit"), ("cpus", "CpuCfsQuota")])
def test_limits_that_the_engine_cannot_hold_are_refused(
    monkeypatch: pytest.MonkeyPatch, key: str, ability: str
) -> None:
    size = MachineSize(millicpus=500) if key == "cpus" else MachineSize(memory=GIB)
    nodes = (*REFERENCE.nodes[:-1], replace(REFERENCE.nodes[-1], size=size))
    engine = FakeEngine(about={ability: False})
    with pytest.raises(InputError, match=f"cannot limit `{key}`"):
        warned(monkeypatch, ENOUGH, replace(REFERENCE, nodes=nodes), engine)
    assert warned(monkeypatch, ENOUGH, engine=engine) == {}


def host(root: Path, **limits: str) -> Path:
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text("MemAvailable: 2097152 kB\nSwapTotal: 1048576 kB\n")
    for file, text in limits.items():
        path = root / "sys/fs/cgroup" / file.replace("__", "/").replace("_max", ".max")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("limits", "free"),
    [
        ({}, 2 * GIB),
        ({"memory_max": "max\n"}, 2 * GIB),
        ({"memory_max": "1073741824\n"}, GIB),
        ({"memory__memory.limit_in_bytes": "9223372036854771712"}, 2 * GIB),
        ({"memory__memory.limit_in_bytes": "1073741824"}, GIB),
    ],
)
def test_a_cgroups_limit_counts_as_what_is_free(
    tmp_path: Path, limits: dict[str, str], free: int
) -> None:
    info = {"MemTotal": 8 * GIB, "NCPU": 4, "DockerRootDir": str(tmp_path)}
    room = capacity.look(info, (), local=True, root=host(tmp_path, **limits))
    assert (room.memory, room.free_memory, room.cpus, room.sure) == (9 * GIB, free, 4, True)
    assert room.free_disk > 0


def test_of_another_kernel_is_free_what_labs_leave() -> None:
    info = {"MemTotal": 2 * GIB, "NCPU": 4, "DockerRootDir": "/"}
    room = capacity.look(info, [Role.MASTER, Role.WORKER], local=False)
    assert room == Room(memory=2 * GIB, free_memory=2 * GIB - 540 * 1024**2, cpus=4)
