"""Doubles for labs in tests: an engine that labs can be started on and removed from at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fake_engine import FakeEngine

from lab.base import locks, paths
from lab.base.wait import Observation
from lab.engine import client
from lab.engine.labels import LABEL_DISTRIBUTION
from lab.host import network
from lab.lifecycle import removal
from lab.live import steady_state
from lab.testing import broken
from lab.testing import lab as testing
from lab.topology.model import to_json

if TYPE_CHECKING:
    import pytest

    from lab.live.lab import Lab


@dataclass
class FakeLabs(FakeEngine):
    """Starts and removes labs in its dicts; `log` keeps the order of what happened."""

    log: list[str] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)
    """Subnet → network, beside those of the labs."""
    fails: str = ""
    """If set, a start raises this after it made something."""
    steady: bool = True
    distribution: str = "upstream"

    def subnets(self) -> dict[str, str]:
        own = {each.subnet: name for name, each in self.networks.items() if each.subnet}
        return {**self.taken, **own}

    def started(self) -> list[str]:
        return [line.split()[1] for line in self.log if line.startswith("start ")]

    def start_lab(self, lab: Lab, distribution: str, timeout_s: float) -> None:
        del timeout_s
        topology = network.settled(lab.topology, self, self.observe(lab.name))  # type: ignore[arg-type]
        lab.topology = topology
        self.log.append(f"start {lab.name}{distribution and ' '}{distribution}")
        subnet = str(topology.network.subnet)
        self.add_network(f"halab-{lab.name}", lab.name, subnet, to_json(topology))
        for node in topology.machines:
            name = f"halab-{lab.name}-{node.name}"
            self.add(name, lab.name, **{LABEL_DISTRIBUTION: self.distribution})
        if self.fails:
            raise client.EngineError(self.fails)

    def destroy_lab(self, _: Any, name: str, __: Any) -> None:
        self.log.append(f"destroy {name}")
        self.networks.pop(f"halab-{name}", None)
        self.containers = {
            key: one for key, one in self.containers.items() if f"halab-{name}-" not in key
        }


def install(monkeypatch: pytest.MonkeyPatch) -> FakeLabs:
    """Put the double in the engine's place, for this process."""
    engine = FakeLabs()
    monkeypatch.setattr(client, "connect", lambda: engine)
    monkeypatch.setattr(testing, "start", engine.start_lab)
    monkeypatch.setattr(removal, "destroy", engine.destroy_lab)
    monkeypatch.setattr(network, "routes", dict)
    monkeypatch.setattr(network, "name_servers", lambda: iter(()))
    monkeypatch.setattr(
        steady_state, "steady", lambda _: Observation(ok=engine.steady, detail="said so")
    )
    monkeypatch.setattr(broken.Faults, "context", lambda self, *_: FakeRun(engine, self.lab))
    monkeypatch.setattr(broken, "make_whole", lambda run: run.make_whole())
    return engine


class FakeRun:
    """A double of a run's context: faults are lines of the engine's log."""

    def __init__(self, engine: FakeLabs, lab: Lab) -> None:
        self.engine, self.lab, self.audit = engine, lab, None

    def say(self, _: str) -> None:
        pass

    def steady(self) -> Observation:
        return Observation(ok=self.engine.steady, detail="said so")

    def targets(self, word: str) -> tuple[str, ...]:
        known = {"@vip-holder": ("m",), "role:master": ("m", "m2", "m3")}
        return known.get(word, (word,))

    def inject(self, name: str, word: str, options: dict[str, str]) -> list[Any]:
        more = "".join(f" {key}={value}" for key, value in options.items())
        self.engine.log.append(f"inject {name} {word}{more}")
        return [SimpleNamespace(node=node, fault=name) for node in self.targets(word)]

    def heal(self, active: list[Any]) -> None:
        self.engine.log.append(f"heal {', '.join(one.fault for one in active)}")

    def make_whole(self) -> str:
        self.engine.log.append("whole")
        return "steady"


def leave_nothing() -> list[str]:
    """Return the records and locks of sessions that are left, none after all has ended."""
    records = [path.name for path in paths.state().glob("*.test")]
    return records + [path.name for path in locks.place().glob("halab-test-*.test.lock")]
