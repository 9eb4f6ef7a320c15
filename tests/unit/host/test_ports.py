"""A port that was free when it was looked for, and is not when the engine wants it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest
from fake_engine import FakeEngine

from lab.base.errors import EngineError, PortTaken
from lab.base.progress import Silent
from lab.engine.files import File
from lab.engine.labels import LABEL_RUN
from lab.engine.power import PowerCalls
from lab.engine.spec import Observed
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
    applier = Applier(engine, Silent(), "run")  # type: ignore[arg-type]
    applier.make(plan.start(wanted, Observed(lab="3m3w")), wanted, privileged=False)
    files = {node: (File(path=f"/{node}"),) for node in first}
    applier.boot(wanted, nodes, {node: partial(files.__getitem__, node) for node in first})


def test_a_port_that_was_lost_meanwhile_gives_the_next(topology: Topology) -> None:
    engine = TakenPorts(6443, 6444)
    names = [node.name for node in topology.containers]
    boot(engine, topology, names, names)
    balancer = engine.containers[BALANCER]
    assert (balancer.ports, balancer.privileged) == ({6443: 6445}, False)
    assert balancer.labels[LABEL_RUN] == "run"
    assert list(balancer.files) == ["/lb"]
    running = {name for name, item in engine.containers.items() if item.state == "running"}
    assert running == {f"halab-3m3w-{name}" for name in names}


def test_tries_have_an_end(topology: Topology) -> None:
    engine = TakenPorts(*range(6443, 6443 + PORT_TRIES))
    with pytest.raises(PortTaken, match="already allocated"):
        boot(engine, topology, ["lb"], ["lb"])


def test_a_stopped_labs_port_stays_and_the_way_out_is_told(topology: Topology) -> None:
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
def test_the_engines_words_for_it_are_known(words: str, kind: type[EngineError]) -> None:
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
