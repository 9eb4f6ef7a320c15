"""Questions of a status: one command for each master, and none for the way to the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from fake_engine import FakeEngine

from lab.engine.commands import Result
from lab.engine.labels import LABEL_DISTRIBUTION, LABEL_NODE
from lab.kube.secrets import Pair
from lab.live import status
from lab.live.access import Credentials
from lab.live.kubeconfig_answer import BEGIN, END
from lab.live.lab import Lab
from lab.nodes.distributions.upstream import component_kubeconfig

if TYPE_CHECKING:
    from lab.engine.client import Engine
    from lab.live.access import Access
    from lab.topology.model import Topology

OWN = Credentials(b"authority", Pair(b"key", b"certificate"))
TEXT = component_kubeconfig(OWN.authority, "https://127.0.0.1:6443", OWN.admin).decode()
TOLD = f"{BEGIN}\n{TEXT}\n{END}\n"
FOLLOWS = "etcd_server_has_leader 1\netcd_server_is_leader 0\napi 200\n"


class InspectedEngine(FakeEngine):
    """An engine that notes whether a single container is asked for."""

    inspected = 0

    def inspect(self, container: str) -> dict[str, Any]:
        self.inspected += 1
        return super().inspect(container)

    def published(self, container: str, port: int) -> int:
        self.inspected += 1
        return super().published(container, port)


@pytest.fixture
def engine(topology: Topology) -> InspectedEngine:
    made = InspectedEngine()
    for node in topology.containers:
        labels = {LABEL_NODE: node.name, LABEL_DISTRIBUTION: "upstream"}
        made.add(f"halab-{topology.name}-{node.name}", lab=topology.name, **labels)
    made.containers[f"halab-{topology.name}-lb"].ports = {6443: 16443}
    return made


@pytest.fixture
def lab(engine: InspectedEngine, topology: Topology) -> Lab:
    return Lab(cast("Engine", engine), topology)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[Access]:
    """The ways to the API by which the nodes were asked for."""
    taken: list[Access] = []

    def nodes(access: Access) -> dict[str, dict[str, Any]]:
        taken.append(access)
        return {}

    monkeypatch.setattr(status, "_kubernetes", nodes)
    return taken


def test_look_asks_each_master_once_and_learns_the_way_to_the_api_from_it(
    engine: InspectedEngine, lab: Lab, ways: list[Access]
) -> None:
    engine.answers = {"halab-3m3w-m3: ": Result(0, TOLD + FOLLOWS), "": Result(0, FOLLOWS)}
    found = status.look(lab)
    assert [row.etcd for row in found.nodes if row.role == "master"] == ["follower"] * 3
    assert not found.problems
    asked = sorted(line.partition(": ")[0] for line in engine.commands)
    assert asked == ["halab-3m3w-m", "halab-3m3w-m2", "halab-3m3w-m3"]
    (way,) = ways
    assert (way.credentials, way.server) == (OWN, "https://127.0.0.1:16443")
    assert (engine.observations, engine.inspected) == (1, 0)


def test_look_asks_for_no_kubeconfig_that_is_known(
    engine: InspectedEngine, lab: Lab, ways: list[Access]
) -> None:
    engine.answers = {"": Result(0, TOLD + FOLLOWS)}
    status.look(lab)
    engine.commands.clear()
    status.look(lab)
    assert not [line for line in engine.commands if BEGIN in line]
    assert ways[0].credentials == ways[1].credentials


def test_look_reads_the_kubeconfig_from_a_disk_where_no_master_tells_it(
    engine: InspectedEngine, lab: Lab, ways: list[Access]
) -> None:
    engine.answers = {"halab-3m3w-m2: cat ": Result(0, TEXT), "": Result(0, FOLLOWS)}
    status.look(lab)
    (way,) = ways
    assert way.credentials == OWN


def test_look_says_that_the_load_balancer_does_not_run(
    engine: InspectedEngine, lab: Lab, ways: list[Access]
) -> None:
    engine.answers = {"": Result(0, TOLD + FOLLOWS)}
    engine.containers["halab-3m3w-lb"].state = "exited"
    assert status.look(lab).problems == ("the load balancer of lab 3m3w does not run",)
    assert not ways
