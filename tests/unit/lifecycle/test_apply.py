"""A plan is carried out: side by side, each failure told, nothing touched that it does not name."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from fake_engine import FakeEngine

from lab.base.errors import ApplyError, EngineError, SubnetTaken
from lab.base.progress import Silent
from lab.engine.files import File
from lab.engine.labels import LABEL, LABEL_NODE, LABEL_RUN
from lab.engine.spec import Observed
from lab.lifecycle import desired_state, plan
from lab.lifecycle.apply import STOP_TIMEOUT_S, WORKERS, Applier
from lab.lifecycle.plan import Plan
from lab.nodes import distributions

if TYPE_CHECKING:
    from lab.engine.spec import Desired
    from lab.topology.model import Topology

TAGS = {name: f"halab/{name}:1" for name in ("upstream", "loadbalancer", "bmc")}
SUBJECTS = ["a", "b", "c"]


@pytest.fixture
def wanted(topology: Topology) -> Desired:
    return desired_state.desired(topology, distributions.find("upstream"), TAGS, 6443)


@pytest.fixture
def engine(wanted: Desired) -> FakeEngine:
    """An engine that holds the lab's networks, and another lab."""
    engine = FakeEngine()
    for spec in wanted.networks:
        engine.create_network(spec, {})
    engine.add("halab-other-m", "other", **{LABEL_NODE: "m"})
    engine.add_volume("halab-other-secrets", "other")
    engine.calls.clear()
    return engine


def applier(engine: FakeEngine) -> Applier:
    return Applier(engine, Silent(), "run")  # type: ignore[arg-type]


def from_nothing(wanted: Desired) -> Plan:
    return plan.start(wanted, Observed(lab=wanted.lab))


# --- side by side ---


def test_together_works_side_by_side() -> None:
    meet = threading.Barrier(len(SUBJECTS))
    assert len(SUBJECTS) <= WORKERS

    def do(_: str) -> None:
        meet.wait(30)

    applier(FakeEngine()).together(do, SUBJECTS)
    assert not meet.broken


def test_together_ends_everything_when_one_fails() -> None:
    done: list[str] = []

    def do(subject: str) -> None:
        if subject == "a":
            raise EngineError("a is lost")
        done.append(subject)

    with pytest.raises(EngineError, match="a is lost"):
        applier(FakeEngine()).together(do, SUBJECTS)
    assert sorted(done) == ["b", "c"]


def test_together_names_every_failure_when_several_fail() -> None:
    def fail(subject: str) -> None:
        raise EngineError(f"{subject} is lost")

    with pytest.raises(ApplyError) as caught:
        applier(FakeEngine()).together(fail, SUBJECTS)
    assert sorted(error.message for error in caught.value.errors) == [
        "a is lost",
        "b is lost",
        "c is lost",
    ]


def test_together_does_nothing_when_it_is_cancelled() -> None:
    own = applier(FakeEngine())
    own.cancelled.set()
    own.together(pytest.fail, SUBJECTS)


# --- making ---


def test_make_makes_what_the_plan_names_with_both_labels(
    engine: FakeEngine, wanted: Desired
) -> None:
    applier(engine).make(from_nothing(wanted), wanted, privileged=True)
    made = {name: item for name, item in engine.containers.items() if "other" not in name}
    assert set(made) == {spec.name for spec in wanted.containers}
    assert {item.state for item in made.values()} == {"created"}
    assert {item.labels[LABEL_RUN] for item in made.values()} == {"run"}
    assert all(item.privileged for item in made.values())
    volumes = [engine.volumes[name].labels for name in wanted.volumes]
    assert {(labels[LABEL], labels[LABEL_RUN]) for labels in volumes} == {("3m3w", "run")}


def test_make_makes_nothing_when_the_plan_is_empty(engine: FakeEngine, wanted: Desired) -> None:
    applier(engine).make(Plan(()), wanted, privileged=True)
    assert engine.calls == []


def test_network_raises_when_another_one_has_its_addresses(
    engine: FakeEngine, wanted: Desired
) -> None:
    with pytest.raises(SubnetTaken):
        applier(engine).network(wanted.networks[0])


# --- power ---


def test_boot_lays_files_down_before_the_first_start_and_never_again(
    engine: FakeEngine, wanted: Desired
) -> None:
    own = applier(engine)
    own.make(from_nothing(wanted), wanted, privileged=False)
    engine.calls.clear()
    own.boot(wanted, ["w1"], {"w1": lambda: (File(path="/etc/x"),)})
    own.boot(wanted, ["w2"], {})
    assert engine.calls == [
        "connect halab-3m3w-w1",
        "put halab-3m3w-w1",
        "start halab-3m3w-w1",
        "connect halab-3m3w-w2",
        "start halab-3m3w-w2",
    ]
    assert list(engine.containers["halab-3m3w-w1"].files) == ["/etc/x"]


def test_stop_wakes_a_node_first_when_it_is_frozen() -> None:
    """It could not shut down, and its power would be cut."""
    waited: list[int] = []

    class Patient(FakeEngine):
        def stop(self, container: str, timeout_s: int) -> None:
            waited.append(timeout_s)
            super().stop(container, timeout_s)

    engine = Patient()
    engine.add("halab-x-m", state="paused")
    applier(engine).stop("x", ["m"])
    assert engine.calls == ["unpause halab-x-m", "stop halab-x-m"]
    assert waited == [STOP_TIMEOUT_S]


# --- removing ---


def test_remove_removes_containers_before_volumes_before_networks(
    engine: FakeEngine, wanted: Desired
) -> None:
    """A volume in use cannot be removed, nor a network whose machines run."""
    own = applier(engine)
    own.make(from_nothing(wanted), wanted, privileged=False)
    own.boot(wanted, ["m", "w1"], {})
    own.remove(plan.destroy(engine.observe("3m3w")))
    assert list(engine.containers) == ["halab-other-m"]
    assert list(engine.volumes) == ["halab-other-secrets"]
    assert list(engine.networks) == []


def test_take_back_removes_what_this_run_made_even_when_it_was_cancelled(
    engine: FakeEngine, wanted: Desired
) -> None:
    own = applier(engine)
    own.make(from_nothing(wanted), wanted, privileged=False)
    own.boot(wanted, ["m"], {})
    own.cancelled.set()
    assert own.take_back() == len(wanted.containers) + len(wanted.volumes)
    assert list(engine.containers) == ["halab-other-m"]
    assert list(engine.volumes) == ["halab-other-secrets"]
    assert len(engine.networks) == len(wanted.networks)  # another run made them
