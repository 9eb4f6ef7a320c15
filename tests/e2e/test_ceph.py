"""The reference installation's last test, on a lab of its own.

Two nodes down, Ceph from nothing, data through every failure. Long and large (some minutes, 8 GiB):
its marker is `ceph`. HALAB_SEED chooses the worker; it is printed.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from labs import TOPOLOGIES, docker

from lab.addons.catalog.ceph import ALLOWED
from lab.addons.catalog.ceph import osd_disk as disk
from lab.engine import client
from lab.live import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labs import Cli, Distribution

pytestmark = [pytest.mark.ceph, pytest.mark.timeout(2400)]
SEED = int(os.environ.get("HALAB_SEED") or random.randrange(1_000_000))
NAME = "e2e-ceph"


@pytest.fixture(scope="module")
def own(halab: Cli, distribution: Distribution, request: pytest.FixtureRequest) -> Iterator[str]:
    halab("destroy", NAME)
    values = ("network.subnet=172.30.41.0/24", "loadbalancer.host_port=0")
    changes = [word for value in values for word in ("--set", value)]
    words = (*changes, *distribution.words)
    halab("start", str(TOPOLOGIES / "3m3w.yaml"), "--name", NAME, *words, timeout=1800)
    yield NAME
    if not request.config.getoption("halab_keep"):
        numbers = disk.numbers(found().topology).values()
        halab("destroy", NAME)
        assert not [number for number in numbers if attached(number)], "loop devices were left"


def found() -> lab.Lab:
    return lab.find(client.connect(), NAME)


def attached(number: int) -> bool:
    """Whether a loop device has a file; /sys shows all of the machine's."""
    return Path(f"/sys/block/loop{number}/loop/backing_file").exists()


def test_ceph_is_made_with_two_nodes_down_and_keeps_its_data(own: str, halab: Cli) -> None:
    print(
        f"\nseed {SEED} (HALAB_SEED={SEED} repeats it); "
        f"HEALTH_WARN is allowed for: {', '.join(ALLOWED)}"
    )
    (run,) = halab.json(
        "scenario", "run", own, "ceph-with-two-nodes-down", "--seed", str(SEED), timeout=2000
    )["runs"]
    assert run["error"] == ""
    assert run["outcome"] == "pass", run["report"]["sentence"]
    status = halab.json("status", own)
    assert sum(row["kubernetes"] == "Ready" for row in status["nodes"]) == 6
    assert status["faults"] == []


def test_only_halabs_own_devices_are_in_use(own: str) -> None:
    topology = found().topology
    numbers = disk.numbers(topology)
    used = [name for name, number in numbers.items() if attached(number)]
    assert len(used) == 3
    for name in used:
        listed = docker(
            "exec", f"halab-{own}-{name}", "find", "/dev", "-xdev", "-type", "b"
        ).split()
        assert listed == [f"/dev/loop{numbers[name]}"], f"{name} sees other disks"


def test_enabled_twice_and_disabled_while_a_node_is_off(own: str, halab: Cli) -> None:
    again = halab.json("addon", "enable", own, "ceph")
    assert [row["changed"] for row in again] == [False]
    halab("fault", "inject", own, "crash", "w1")
    halab("addon", "disable", own, "ceph")
    halab("fault", "heal", own)
    (row,) = halab.json("addon", "status", own, "ceph")
    assert row["enabled"] is False
