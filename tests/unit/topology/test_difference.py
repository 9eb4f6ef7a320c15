"""Settings in which two topologies differ, in the words of a topology file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.topology import difference, loader

if TYPE_CHECKING:
    from lab.topology.model import Topology

SHIPPED = Path(__file__).parents[3] / "topologies"


def changed(*overrides: str) -> Topology:
    return loader.load(SHIPPED / "3m3w.yaml", overrides).topology


def test_settings_are_none_when_nothing_differs(topology: Topology) -> None:
    assert difference.settings(topology, topology) == ()


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("ha.token=400ms", "ha.token: 1s → 400ms"),
        ("ha.fencing=reboot", "ha.fencing: off-stays → reboot"),
        ("ha.fencing=none", "ha.fencing: off-stays → none"),
        ("kubernetes.node_monitor_grace=40s", "kubernetes.node_monitor_grace: 20s → 40s"),
        ("nodes.w1.ip=172.30.0.77", "nodes.w1.ip: 172.30.0.41 → 172.30.0.77"),
        ("network.pool=172.30.0.240/28", "network.pool: nothing → 172.30.0.240/28"),
        ("addons=[]", "addons: dns-ha → nothing"),
    ],
)
def test_settings_are_named_as_in_a_file_when_they_differ(
    topology: Topology, override: str, line: str
) -> None:
    assert difference.settings(topology, changed(override)) == (line,)


def test_settings_come_in_the_order_of_their_names(topology: Topology) -> None:
    lines = difference.settings(topology, changed("network.vip=172.30.0.60", "ha.token=2s"))
    assert lines == ("ha.token: 1s → 2s", "network.vip: 172.30.0.50 → 172.30.0.60")
