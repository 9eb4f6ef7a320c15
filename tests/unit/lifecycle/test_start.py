"""A start looks before it makes; ^C takes back what was made, and the next start completes it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_engine import FakeEngine

from lab.base.errors import EngineError, InputError, LabError
from lab.engine.labels import (
    LABEL,
    LABEL_DISTRIBUTION,
    LABEL_NODE,
    LABEL_RUN,
    LABEL_SPEC,
    secrets_volume,
)
from lab.host import network
from lab.lifecycle import boot
from lab.lifecycle import start as starting
from lab.lifecycle.plan import Action, Plan, PlanStep
from lab.live.lab import Lab
from lab.topology import loader

if TYPE_CHECKING:
    from lab.engine.spec import ContainerSpec
    from lab.lifecycle.start_context import Context

SHIPPED = Path(__file__).parents[3] / "topologies"
SMALL = loader.load(SHIPPED / "1m1w.yaml").topology
TAGS = {name: f"halab/{name}:1" for name in ("upstream", "k3s", "loadbalancer", "bmc")}
FIT = {"Architecture": "x86_64", "BridgeNfIptables": True}
ONE_CALL_IS_LATE = 10_000


@dataclass
class KilledEngine(FakeEngine):
    """An engine that hears nothing more after so many calls: its caller was killed."""

    left: int = ONE_CALL_IS_LATE

    def _call(self, verb: str, what: str) -> None:
        if self.left <= 0:
            raise EngineError("killed")
        super()._call(verb, what)
        self.left -= 1


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without other networks, images that are here, nodes that are ready at once."""
    monkeypatch.setattr(network, "routes", dict)
    monkeypatch.setattr(network, "RESOLVERS", ())
    monkeypatch.setattr(network, "free_port", lambda wanted: wanted)
    builder = SimpleNamespace(missing=lambda *_: [], tags=TAGS)
    monkeypatch.setattr(Lab, "builder", lambda _: builder)
    monkeypatch.setattr(boot, "await_admitting", lambda *_: None)
    monkeypatch.setattr(starting, "MAKE", (*starting.MAKE[:-1], lambda _: None))


@pytest.fixture
def engine() -> KilledEngine:
    return KilledEngine(about=FIT)


def lab(engine: FakeEngine, topology: Any = SMALL) -> Lab:
    return Lab(engine, topology)  # type: ignore[arg-type]


def steps(monkeypatch: pytest.MonkeyPatch, look: Any, make: Any) -> None:
    monkeypatch.setattr(starting, "LOOK", look)
    monkeypatch.setattr(starting, "MAKE", make)


def interrupted_after(monkeypatch: pytest.MonkeyPatch, step: Any) -> None:
    """Press ^C when this step has ended."""

    def interrupt(_: Context) -> None:
        raise KeyboardInterrupt

    made = starting.MAKE[: starting.MAKE.index(step) + 1]
    monkeypatch.setattr(starting, "MAKE", (*made, interrupt))


def everything(engine: FakeEngine) -> set[str]:
    return {*engine.containers, *engine.volumes, *engine.networks}


# --- the order ---


def test_start_looks_before_it_makes(engine: KilledEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def look(start: Context) -> None:
        done.append("look")
        start.plan = Plan(())

    steps(monkeypatch, (look,), (lambda _: done.append("make"),))
    assert starting.start(lab(engine)).plan.empty
    assert done == ["look", "make"]
    assert engine.observations == 1


def test_start_makes_networks_volumes_and_containers_before_it_boots_in_waves(
    engine: KilledEngine, topology: Any
) -> None:
    started = starting.start(lab(engine, topology), "k3s")
    verbs = [call.split()[0] for call in engine.calls if "helper" not in call]
    last = {verb: len(verbs) - verbs[::-1].index(verb) for verb in ("network", "volume", "create")}
    assert last["network"] <= verbs.index("volume")
    assert last["volume"] <= verbs.index("create")
    assert last["create"] <= verbs.index("put")
    order = [call.split("-")[-1] for call in engine.calls if call.startswith("start halab-3m3w-")]
    assert set(order[:3]) == {"m", "lb", "bmc"}
    assert set(order[3:]) == {"m2", "m3", "w1", "w2", "w3"}
    assert len(engine.running()) == len(topology.containers)
    assert started.access is not None
    assert (started.access.distribution.name, started.access.port) == ("k3s", 6443)
    assert engine.observations <= 3


def test_start_changes_nothing_when_all_runs(engine: KilledEngine) -> None:
    starting.start(lab(engine), "upstream")
    engine.calls.clear()
    engine.observations = 0
    assert starting.start(lab(engine)).plan.empty
    assert engine.calls == []
    assert engine.observations <= 3


def test_room_is_judged_only_if_something_starts(
    engine: KilledEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []
    monkeypatch.setattr(starting.capacity, "check", lambda *_: judged.append("room") or {})
    monkeypatch.setattr(starting.network, "few_watches", lambda _: judged.append("watches") or "")
    starting.start(lab(engine), "upstream")
    starting.start(lab(engine))
    assert judged == ["room", "watches"]


def test_start_powers_on_what_was_stopped_and_lays_down_no_files(engine: KilledEngine) -> None:
    starting.start(lab(engine), "upstream")
    for container in engine.containers.values():
        container.state = "exited"
    engine.calls.clear()
    assert set(starting.start(lab(engine)).plan.subjects(Action.START)) == {"m", "w1", "lb", "bmc"}
    assert {call.split()[0] for call in engine.calls} == {"connect", "start"}
    assert len(engine.running()) == 4


class NotingEngine(KilledEngine):
    """An engine that notes the addresses of the containers that it makes, by network."""

    def create_container(
        self, spec: ContainerSpec, labels: dict[str, str], *, privileged: bool
    ) -> None:
        self.noted = {**getattr(self, "noted", {}), spec.network: spec.ip, **spec.more}
        super().create_container(spec, labels, privileged=privileged)


def test_start_makes_containers_for_the_networks_that_it_got(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another lab has taken those that were free when it looked."""
    engine = NotingEngine(about=FIT)

    def steal(_: Context) -> None:
        engine.add_network("halab-thief", "thief", "172.30.1.0/24")
        engine.add_network("halab-thief-management", "thief", "172.29.0.0/21")

    monkeypatch.setattr(starting, "MAKE", (steal, *starting.MAKE))
    opened = loader.load(SHIPPED / "1m1w.yaml", ("network.subnet=auto",)).topology
    starting.start(lab(engine, opened))
    names = ("halab-1m1w", "halab-1m1w-management")
    assert [engine.networks[name].subnet for name in names] == ["172.30.0.0/24", "172.29.8.0/24"]
    for name in names:
        assert IPv4Address(engine.noted[name]) in IPv4Network(engine.networks[name].subnet)


# --- what is refused ---


def test_start_makes_nothing_when_it_is_refused(
    engine: KilledEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Context) -> None:
        raise InputError("no")

    steps(monkeypatch, (refuse,), (lambda _: pytest.fail("something was made"),))
    with pytest.raises(InputError):
        starting.start(lab(engine))
    assert engine.calls == []


def test_start_refuses_another_distribution_than_the_labs(engine: KilledEngine) -> None:
    engine.add("halab-1m1w-m", "1m1w", **{LABEL_NODE: "m", LABEL_DISTRIBUTION: "upstream"})
    with pytest.raises(InputError, match="runs upstream, not k3s"):
        starting.start(lab(engine), "k3s")
    assert engine.calls == []


def test_start_refuses_when_a_container_of_that_name_is_not_the_labs(engine: KilledEngine) -> None:
    engine.add("halab-1m1w-w1", "")
    with pytest.raises(InputError, match="a container named halab-1m1w-w1 exists"):
        starting.start(lab(engine))
    assert engine.calls == []


def test_start_refuses_when_the_lab_was_made_with_other_settings(engine: KilledEngine) -> None:
    starting.start(lab(engine))
    engine.calls.clear()
    overrides = ("nodes.w1.ip=172.30.1.77", "ha.token=400ms")
    other = loader.load(SHIPPED / "1m1w.yaml", overrides).topology
    with pytest.raises(InputError) as caught:
        starting.start(lab(engine, other))
    settings = "ha.token: 1s → 400ms; nodes.w1.ip: 172.30.1.41 → 172.30.1.77"
    assert f"was made with other settings ({settings}); nothing was changed" in str(caught.value)
    assert "--name X --set network.subnet=" in caught.value.hint
    assert engine.calls == []


def test_start_names_the_nodes_when_the_lab_was_made_from_other_images(
    engine: KilledEngine,
) -> None:
    starting.start(lab(engine))
    engine.calls.clear()
    engine.containers["halab-1m1w-w1"].labels[LABEL_SPEC] = "another"
    with pytest.raises(InputError, match=r"or other images \(w1 would differ\)"):
        starting.start(lab(engine))
    assert engine.calls == []


def test_step_is_a_bug_before_the_one_that_it_stands_on(engine: KilledEngine) -> None:
    with pytest.raises(AttributeError, match="desired"):
        starting.compare(starting._context(lab(engine)))
    context = starting._context(lab(engine))
    context.plan = Plan((PlanStep(action=Action.START, subject="m", reason="is off"),))
    with pytest.raises(AssertionError, match="find_access"):
        starting.await_lab(context)


# --- ^C ---


@pytest.mark.parametrize("step", starting.MAKE[:-1], ids=lambda step: step.__name__)
def test_start_takes_back_all_it_made_and_nothing_else_when_interrupted(
    engine: KilledEngine, monkeypatch: pytest.MonkeyPatch, step: Any
) -> None:
    engine.add("halab-other-m", "other")
    engine.add_volume("halab-other-secrets", "other")
    engine.add_network("halab-other", "other", "10.0.0.0/24")
    before = everything(engine)
    interrupted_after(monkeypatch, step)
    handle = lab(engine)
    with pytest.raises(KeyboardInterrupt):
        starting.start(handle)
    assert handle.cancelled.is_set() is False  # taking back may be done side by side again
    assert everything(engine) == before


def test_start_keeps_what_an_earlier_start_made_when_interrupted(
    engine: KilledEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting.start(lab(engine))
    before = everything(engine)
    engine.remove_container("halab-1m1w-w1")
    interrupted_after(monkeypatch, starting.boot_machines)
    with pytest.raises(KeyboardInterrupt):
        starting.start(lab(engine))
    assert everything(engine) == before - {"halab-1m1w-w1"}


def test_start_takes_nothing_back_when_it_fails(engine: KilledEngine) -> None:
    engine.left = 20
    with pytest.raises(LabError, match="killed"):
        starting.start(lab(engine))
    assert engine.networks


# --- a start that was killed ---


@pytest.mark.parametrize("calls", range(1, 31, 3))
def test_start_completes_the_lab_when_the_one_before_was_killed(
    engine: KilledEngine, calls: int
) -> None:
    """Wherever it was killed: between two networks, with half of the secrets, before a boot."""
    engine.left = calls
    with pytest.raises(LabError, match="killed"):
        starting.start(lab(engine))
    engine.left = ONE_CALL_IS_LATE
    starting.start(lab(engine))
    names = {f"halab-1m1w-{node.name}" for node in SMALL.containers}
    assert names <= engine.running()
    nodes = [engine.containers[name] for name in names]
    assert all(node.files for node in nodes if "bmc" not in node.image)
    assert all(len(node.networks) == 2 for node in nodes if "upstream" in node.image)
    parts = (*nodes, *engine.volumes.values(), *engine.networks.values())
    assert {part.labels[LABEL] for part in parts} == {"1m1w"}
    assert all(LABEL_RUN in part.labels for part in parts)
    assert engine.volumes[secrets_volume("1m1w")].files


# --- one node ---


def test_start_node_changes_nothing_when_it_runs(
    engine: KilledEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting.start(lab(engine))
    engine.calls.clear()
    monkeypatch.setattr(starting, "MAKE_NODE", (lambda _: pytest.fail("something was made"),))
    started = starting.start_node(lab(engine), "w1")
    assert started.plan.empty
    assert started.access is None
    assert engine.calls == []


def test_start_node_does_not_wait_for_the_cluster_when_most_masters_are_off(
    engine: KilledEngine,
) -> None:
    starting.start(lab(engine))
    for container in engine.containers.values():
        container.state = "exited"
    started = starting.start_node(lab(engine), "w1")
    assert engine.running() == {"halab-1m1w-w1"}
    assert started.access is None


def test_start_node_refuses_a_name_that_the_lab_does_not_have(engine: KilledEngine) -> None:
    with pytest.raises(InputError, match="no node `w9`"):
        starting.start_node(lab(engine), "w9")
