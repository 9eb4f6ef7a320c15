"""The doctor's words about memory and disk: `failed` is what a start refuses, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fake_engine import FakeEngine

from lab.base.errors import LabError
from lab.base.sizes import GIB
from lab.engine.spec import Observed
from lab.host import capacity, room_findings
from lab.host.capacity import Room
from lab.topology.model import Role

if TYPE_CHECKING:
    from lab.host.findings import Finding
    from lab.topology.model import Topology

ROOM = Room(memory=16 * GIB, free_memory=8 * GIB, cpus=4, free_disk=50 * GIB, sure=True)
NEW = Observed(lab="3m3w")


def memory(topology: Topology, room: Room) -> Finding:
    return room_findings.memory(topology, capacity.starting(topology, NEW), room)


def disk(topology: Topology, free: float, name: str = "upstream", *, built: bool = True) -> Finding:
    making = capacity.missing(topology, NEW)
    room = replace(ROOM, free_disk=int(free * GIB))
    return room_findings.disk(topology, making, room, name, place="/d", built=built)


def test_memory_is_judged_against_the_topology(topology: Topology) -> None:
    assert memory(topology, ROOM) == room_findings.Finding(
        "memory", "ok", "8.0 GiB free, lab 3m3w needs 2.7 GiB"
    )
    used = memory(topology, replace(ROOM, free_memory=GIB))
    assert (used.state, "smaller topology" in used.remedy) == ("warning", True)
    small = memory(topology, replace(ROOM, memory=GIB, free_memory=GIB))
    assert small.state == "failed"
    assert "1.6 when idle; 1.0 GiB in all" in small.seen
    assert memory(topology, Room()).state == "warning"


def test_a_lab_that_runs_needs_no_memory_and_no_disk(topology: Topology) -> None:
    full = replace(ROOM, free_memory=1, free_disk=1)
    assert room_findings.memory(topology, [], full).state == "ok"
    assert room_findings.disk(topology, [], full, "k3s", place="/d", built=False).state == "ok"


def test_processors_are_judged_with_those_of_other_labs(topology: Topology) -> None:
    two = replace(ROOM, cpus=2)
    assert room_findings.processors(topology, [], two).seen == "2"
    busy = room_findings.processors(topology, [Role.MASTER] * 9, two)
    assert (busy.state, "idle labs take 1.4 of 2" in busy.seen) == ("warning", True)


def test_the_disk_is_judged_against_the_distribution(topology: Topology) -> None:
    assert disk(topology, 50).state == "ok"
    assert "50.0 GiB free at /d, " in disk(topology, 50).seen
    assert "6 new nodes with upstream need 3.1 GiB" in disk(topology, 50).seen
    assert "6 new nodes with k3s need 10.9 GiB" in disk(topology, 50, "k3s").seen
    assert "a first build 6 GiB more" in disk(topology, 5, built=False).seen
    assert disk(topology, 5).state == "ok"
    assert disk(topology, 5, "k3s").state == "warning"
    assert disk(topology, 1).state == "failed"
    assert disk(topology, 0).state == "warning"  # not this user's to know


@pytest.mark.parametrize("gigabytes", [0.5, 1, 1.5, 1.6, 1.7, 2, 2.6, 2.8, 3.1, 3.2, 12])
@pytest.mark.parametrize("what", ["memory", "free_disk"])
@pytest.mark.parametrize("sure", [True, False])
def test_doctor_fails_what_a_start_refuses(
    topology: Topology,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    gigabytes: float,
    *,
    sure: bool,
) -> None:
    size = int(gigabytes * GIB)
    more = {"free_memory": size} if what == "memory" else {}
    room = replace(ROOM, sure=sure, **{what: size, **more})
    monkeypatch.setattr(capacity, "look", lambda *_, **__: room)
    refused = False
    warned: dict[str, str] = {}
    try:
        warned = capacity.check(topology, FakeEngine(), NEW, [])  # type: ignore[arg-type]
    except LabError:
        refused = True
    findings = [
        memory(topology, room),
        room_findings.disk(
            topology, capacity.missing(topology, NEW), room, "upstream", place="/d", built=True
        ),
    ]
    assert ("failed" in {each.state for each in findings}) == refused
    if not refused:
        states = {each.name: each.state for each in findings}
        expected = {name: "warning" if name in warned else "ok" for name in ("memory", "disk")}
        assert states == expected
