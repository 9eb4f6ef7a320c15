"""Removing a lab beside an engine that still makes what a killed start asked for."""

from __future__ import annotations

import pytest

from lab.base.errors import EngineError, InUse, WaitTimeout
from lab.base.progress import Silent
from lab.engine.labels import LABEL_NODE
from lab.engine.spec import Observed, ObservedContainer
from lab.lifecycle import removal

CONTAINER = "halab-x-m"
NETWORK = "halab-x"
VOLUME = "halab-x-m-etcd"


class LateEngine:
    """A double of an engine that lists a container only after some looks, and holds its volume."""

    def __init__(self, *, looks: int, error: type[EngineError] = InUse, volumes: int = 1) -> None:
        self.looks = looks
        self.error = error
        self.networks = {NETWORK}
        self.containers = {CONTAINER}
        self.volumes = set([VOLUME][:volumes])

    def observe(self, lab: str) -> Observed:
        self.looks -= 1
        seen = self.containers if self.looks < 0 else set()
        labels = {LABEL_NODE: "m"}
        containers = [
            ObservedContainer(id=name, name=name, state="created", labels=labels) for name in seen
        ]
        return Observed(
            lab=lab,
            networks=tuple(self.networks),
            containers=tuple(containers),
            volumes=tuple(self.volumes),
        )

    def remove_container(self, name: str) -> None:
        self.containers.remove(name)

    def remove_volume(self, name: str) -> None:
        if self.containers:
            raise self.error(f"remove {name}: volume is in use - [f96803]")
        self.volumes.remove(name)

    def remove_network(self, name: str) -> None:
        self.networks.remove(name)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "LATE_EVERY_S", 0.001)
    monkeypatch.setattr(removal, "SETTLE_S", 0.3)


def test_a_container_that_the_engine_still_makes_is_waited_for() -> None:
    double = LateEngine(looks=3)
    removal.destroy(double, "x", Silent())  # type: ignore[arg-type]
    assert double.containers == set()
    assert double.volumes == set()
    assert double.networks == set()


def test_a_container_without_volumes_is_waited_for_too() -> None:
    double = LateEngine(looks=3, volumes=0)
    removal.destroy(double, "x", Silent())  # type: ignore[arg-type]
    assert double.containers == set()


def test_a_volume_that_stays_in_use_is_told_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "LATE_S", 0)
    monkeypatch.setattr(removal, "SETTLE_S", 0)
    double = LateEngine(looks=1_000_000)
    with pytest.raises(WaitTimeout, match="volume is in use"):
        removal.destroy(double, "x", Silent())  # type: ignore[arg-type]


def test_another_refusal_is_told_at_once() -> None:
    double = LateEngine(looks=1_000_000, error=EngineError)
    with pytest.raises(EngineError):
        removal.destroy(double, "x", Silent())  # type: ignore[arg-type]
    assert double.looks == 1_000_000 - 2  # the first one, and one after it
