"""Removing a lab beside an engine that still makes what a killed start asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fake_engine import FakeEngine

from lab.base.errors import EngineError, InUse, WaitTimeout
from lab.base.progress import Silent
from lab.engine.labels import LABEL_NODE
from lab.lessons import record
from lab.lessons.record import LessonProgress
from lab.lifecycle import removal

if TYPE_CHECKING:
    from lab.engine.spec import Observed

CONTAINER = "halab-x-m"
NETWORK = "halab-x"
VOLUME = "halab-x-m-etcd"


class LateEngine(FakeEngine):
    """An engine that lists a container only after some looks, and holds its volume."""

    def __init__(self, *, looks: int, error: type[EngineError] = InUse, volumes: int = 1) -> None:
        super().__init__()
        self.add_network(NETWORK, "x")
        for name in [VOLUME][:volumes]:
            self.add_volume(name)
        self.add(CONTAINER, "x", "created", **{LABEL_NODE: "m"})
        self.looks = looks
        self.error = error

    def observe(self, lab: str) -> Observed:
        self.looks -= 1
        observed = super().observe(lab)
        return observed if self.looks < 0 else replace(observed, containers=())

    def remove_volume(self, volume: str) -> None:
        if self.containers:
            raise self.error(f"remove {volume}: volume is in use - [f96803]")
        super().remove_volume(volume)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "LATE_EVERY_S", 0.001)
    monkeypatch.setattr(removal, "SETTLE_S", 0.3)


def test_destroy_waits_for_a_container_when_the_engine_still_makes_it() -> None:
    double = LateEngine(looks=3)
    removal.destroy(double, "x", Silent())  # type: ignore[arg-type]
    assert double.containers == {}
    assert double.volumes == {}
    assert double.networks == {}


def test_destroy_forgets_the_lessons_of_the_lab_and_no_others() -> None:
    for lab in ("x", "xy"):
        for lesson in ("vip-moves", "token"):
            record.write(LessonProgress(lesson=lesson, lab=lab))
    removal.destroy(FakeEngine(), "x", Silent())  # type: ignore[arg-type]
    assert record.all_of("x") == []
    assert len(record.all_of("xy")) == 2


def test_destroy_waits_for_a_container_when_it_has_no_volumes() -> None:
    double = LateEngine(looks=3, volumes=0)
    removal.destroy(double, "x", Silent())  # type: ignore[arg-type]
    assert double.containers == {}


def test_destroy_names_a_volume_when_it_stays_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "LATE_S", 0)
    monkeypatch.setattr(removal, "SETTLE_S", 0)
    double = LateEngine(looks=1_000_000)
    with pytest.raises(WaitTimeout, match="volume is in use"):
        removal.destroy(double, "x", Silent())  # type: ignore[arg-type]


def test_destroy_fails_at_once_when_the_engine_refuses_for_another_reason() -> None:
    double = LateEngine(looks=1_000_000, error=EngineError)
    with pytest.raises(EngineError):
        removal.destroy(double, "x", Silent())  # type: ignore[arg-type]
    assert double.looks == 1_000_000 - 2  # the first one, and one after it
