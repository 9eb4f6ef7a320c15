"""Doubles for faults: an engine, a place where a fault acts, a record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fake_engine import FakeEngine

from lab.chaos import faults
from lab.chaos.fault import FaultSite
from lab.live.active_faults import ActiveFault
from lab.nodes.handles import handle
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.engine.commands import Result

TOPOLOGY = loader.load(Path(__file__).parents[2] / "topologies" / "3m3w.yaml").topology


class FaultEngine(FakeEngine):
    """An engine that runs the lab `x`. `asked` keeps commands and calls in their order."""

    def __init__(self, answers: dict[str, Result] | None = None, state: str = "running") -> None:
        super().__init__(answers=answers or {})
        self.asked: list[str] = []
        for node in TOPOLOGY.machines:
            self.add(f"halab-x-{node.name}", state=state)
            self.containers[f"halab-x-{node.name}"].networks.add("lab")

    def run(self, container: str, argv: Sequence[str], **more: Any) -> Result:
        result = super().run(container, argv, **more)
        self.asked.append(" ".join(argv))
        return result

    def _call(self, verb: str, what: str) -> None:
        super()._call(verb, what)
        self.asked.append(f"{verb} {what}")


def site(
    name: str = "m",
    engine: FaultEngine | None = None,
    topology: Any = TOPOLOGY,
    group: tuple[str, ...] = (),
) -> FaultSite:
    nodes = {node.name: handle(engine or FaultEngine(), "x", node) for node in topology.machines}
    return FaultSite(nodes[name].engine, topology, "upstream", nodes.pop(name), nodes, group)


def hit(fault: str, before: dict[str, str] | None = None, **options: str) -> ActiveFault:
    return ActiveFault(
        id="00c0ffee",
        fault=fault,
        node="m",
        options={**faults.find(fault).options, **options},
        before=before or {},
    )
