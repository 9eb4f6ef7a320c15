"""A port that was free when it was looked for, and is not when the engine wants it."""

from __future__ import annotations

import socket
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest
from fake_engine import FakeEngine

from lab.base.errors import EngineError, InputError, PortTaken
from lab.base.progress import Silent
from lab.engine.files import File
from lab.engine.labels import LABEL_RUN
from lab.engine.power import PowerCalls
from lab.engine.spec import Observed, ObservedContainer
from lab.host import network
from lab.lifecycle import desired_state, plan
from lab.lifecycle.apply import PORT_TRIES, Applier
from lab.nodes import distributions

if TYPE_CHECKING:
    from lab.topology.model import Topology

TAGS = {"upstream": "halab/upstream:1", "loadbalancer": "halab/lb:1", "bmc": "halab/bmc:1"}
BALANCER = "halab-3m3w-lb"


class TakenPorts(FakeEngine):
    """An engine on which some ports are somebody else's."""

    def __init__(self, *taken: int) -> None:
        super().__init__()
        self.taken = taken

    def start(self, container: str) -> None:
        if set(self.containers[container].ports.values()) & set(self.taken):
            raise PortTaken(
                f"starting {container}: Bind for 127.0.0.1:6443 failed: port is already allocated"
            )
        super().start(container)


@pytest.fixture(autouse=True)
def _all_seem_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "free_port", lambda wanted: wanted)


def boot(engine: TakenPorts, topology: Topology, nodes: list[str], first: list[str]) -> None:
    wanted = desired_state.desired(topology, distributions.find("upstream"), TAGS, 6443)
    for spec in wanted.networks:
        engine.create_network(spec, {})
    applier = Applier(engine, Silent(), "run")  # type: ignore[arg-type]
    applier.make(plan.start(wanted, Observed(lab="3m3w")), wanted, privileged=False)
    files = {node: (File(path=f"/{node}"),) for node in first}
    applier.boot(wanted, nodes, {node: partial(files.__getitem__, node) for node in first})


def test_boot_takes_the_next_port_when_the_first_was_lost_meanwhile(topology: Topology) -> None:
    engine = TakenPorts(6443, 6444)
    names = [node.name for node in topology.containers]
    boot(engine, topology, names, names)
    balancer = engine.containers[BALANCER]
    assert (balancer.ports, balancer.privileged) == ({6443: 6445}, False)
    assert balancer.labels[LABEL_RUN] == "run"
    assert list(balancer.files) == ["/lb"]
    running = {name for name, item in engine.containers.items() if item.state == "running"}
    assert running == {f"halab-3m3w-{name}" for name in names}


def test_boot_gives_up_when_many_ports_are_lost(topology: Topology) -> None:
    engine = TakenPorts(*range(6443, 6443 + PORT_TRIES))
    with pytest.raises(PortTaken, match="already allocated"):
        boot(engine, topology, ["lb"], ["lb"])


def test_boot_keeps_the_port_and_says_what_to_do_when_a_stopped_lab_lost_it(
    topology: Topology,
) -> None:
    engine = TakenPorts(6443)
    with pytest.raises(PortTaken, match="already allocated") as caught:
        boot(engine, topology, ["lb"], [])
    assert f"docker rm {BALANCER}" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Bind for 127.0.0.1:6443 failed: port is already allocated", PortTaken),
        ("failed to bind host port 127.0.0.1:6443/tcp: address already in use", PortTaken),
        ("Ports are not available: exposing port TCP 127.0.0.1:6443 -> x", PortTaken),
        ("no such container", EngineError),
    ],
)
def test_start_raises_port_taken_when_the_engine_says_so(
    words: str, kind: type[EngineError]
) -> None:
    class Api:
        def unpause(self, _: str) -> Any:
            raise docker.errors.APIError("409", explanation="Container is not paused")

        def start(self, _: str) -> Any:
            raise docker.errors.APIError("500", explanation=words)

    engine = PowerCalls()
    engine._api = Api()
    with pytest.raises(EngineError) as caught:
        engine.start("x")
    assert type(caught.value) is kind


def with_port(topology: Topology, port: int) -> Topology:
    nodes = tuple(
        replace(node, ports=((port, 30080),)) if node.name == "w1" else node
        for node in topology.nodes
    )
    return replace(topology, nodes=nodes)


def test_a_nodes_port_that_is_taken_is_refused_before_anything_is_made(
    topology: Topology,
) -> None:
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        mine.listen()
        wanted = with_port(topology, mine.getsockname()[1])
        with pytest.raises(InputError, match=r"for node w1, is taken"):
            network.check_ports(wanted, Observed(lab="3m3w"))
        there = ObservedContainer(
            id="1", name="halab-3m3w-w1", state="running", labels={"halab.node": "w1"}
        )
        network.check_ports(wanted, Observed(lab="3m3w", containers=(there,)))
    network.check_ports(wanted, Observed(lab="3m3w"))
    network.check_ports(with_port(topology, 0), Observed(lab="3m3w"))


def test_a_node_does_not_get_another_port_than_the_one_that_is_named(topology: Topology) -> None:
    engine = TakenPorts(8080)
    with pytest.raises(PortTaken):
        boot(engine, with_port(topology, 8080), ["w1"], ["w1"])
    assert engine.containers["halab-3m3w-w1"].ports == {30080: 8080}
