"""A start is a list of steps: what looks comes first, and ^C takes back what was made."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lab.base.errors import EngineError, InputError, LabError
from lab.engine.spec import Observed, ObservedContainer
from lab.lifecycle import readiness
from lab.lifecycle import start as starting
from lab.live.lab import Lab
from lab.nodes import distributions
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.lifecycle.start import Context

TOPOLOGY = loader.load(Path(__file__).parents[3] / "topologies" / "1m1w.yaml").topology


class EngineDouble:
    """A double of the engine that holds nothing, or one lab's containers."""

    def __init__(self, *containers: ObservedContainer) -> None:
        self.observed = Observed(lab=TOPOLOGY.name, containers=containers)
        self.observations = 0
        self.removed: list[str] = []
        self.about = {"Architecture": "x86_64"}

    def observe(self, _: str) -> Observed:
        self.observations += 1
        return self.observed

    def labelled(self, _: str) -> tuple[list[str], list[str], list[str]]:
        return ["made by this run"], [], []

    def remove_container(self, name: str) -> None:
        self.removed.append(name)

    remove_volume = remove_network = remove_container


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> EngineDouble:
    @contextmanager
    def unlocked(*_: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr(starting, "exclusive", unlocked)
    return EngineDouble()


def lab(engine: EngineDouble) -> Lab:
    return Lab(engine, TOPOLOGY)  # type: ignore[arg-type]


def steps(monkeypatch: pytest.MonkeyPatch, look: Any, make: Any) -> None:
    monkeypatch.setattr(starting, "LOOK", look)
    monkeypatch.setattr(starting, "MAKE", make)


def test_start_looks_before_it_makes(engine: EngineDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def look(start: Context) -> None:
        done.append("look")
        start._plan = starting.Plan(())

    steps(monkeypatch, (look,), (lambda _: done.append("make"),))
    assert starting.start(lab(engine)).plan.empty
    assert done == ["look", "make"]
    assert engine.observations == 1


def test_start_makes_nothing_when_it_is_refused(
    engine: EngineDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Context) -> None:
        raise InputError("no")

    steps(monkeypatch, (refuse,), (lambda _: pytest.fail("something was made"),))
    with pytest.raises(InputError):
        starting.start(lab(engine))
    assert not engine.removed


@pytest.mark.parametrize(
    ("error", "removed"), [(KeyboardInterrupt(), ["made by this run"]), (EngineError("no"), [])]
)
def test_start_takes_back_what_it_made_when_interrupted_and_only_then(
    engine: EngineDouble,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    removed: list[str],
) -> None:
    def fail(_: Context) -> None:
        raise error

    def compare(start: Context) -> None:
        start._plan = starting.Plan(())

    steps(monkeypatch, (compare,), (fail,))
    with pytest.raises(type(error)):
        starting.start(lab(engine))
    assert engine.removed == removed


def test_start_of_a_node_that_runs_changes_nothing(
    engine: EngineDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(start: Context) -> None:
        start._plan = starting.Plan(())

    monkeypatch.setattr(starting, "LOOK_AT_NODE", (compare,))
    monkeypatch.setattr(starting, "MAKE_NODE", (lambda _: pytest.fail("something was made"),))
    started = starting.start_node(lab(engine), "w1")
    assert started.plan.empty
    assert started.access is None


def test_start_refuses_another_distribution_than_the_labs(engine: EngineDouble) -> None:
    there = ObservedContainer(
        id="1",
        name="halab-1m1w-m",
        state="running",
        labels={"halab.distribution": "upstream"},
    )
    context = starting._context(lab(EngineDouble(there)), preferred="k3s")
    with pytest.raises(InputError, match="runs upstream, not k3s"):
        starting.choose_distribution(context)


def test_a_step_before_the_one_it_stands_on_is_a_bug(engine: EngineDouble) -> None:
    with pytest.raises(AssertionError, match="came before"):
        starting.compare(starting._context(lab(engine)))


class ClusterDouble:
    """A double of the API that cannot tell its nodes."""

    def readyz(self) -> bool:
        return True

    def nodes(self) -> dict[str, Any]:
        raise LabError("the API does not answer: refused")


def test_readiness_says_why_nodes_cannot_be_asked_for_and_starts_them_all_the_same(
    monkeypatch: pytest.MonkeyPatch, engine: EngineDouble
) -> None:
    powered: list[str] = []
    monkeypatch.setattr(readiness, "power_on_again", lambda node: powered.append(node.name))
    upstream = distributions.find("upstream")
    ready = readiness.Readiness(
        lab(engine),
        SimpleNamespace(distribution=upstream),  # type: ignore[arg-type]
        ClusterDouble(),  # type: ignore[arg-type]
        booted=("m",),
        only=("m", "w1"),
    )
    ready._applied = True
    ready.finished.add(readiness.API)
    ready._round(ready._questions())
    assert powered == (["m"] if TOPOLOGY.ha.fencing else [])
    assert ready.seen == dict.fromkeys(("m", "w1"), "the API does not answer: refused")
