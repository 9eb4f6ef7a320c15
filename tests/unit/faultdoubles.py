"""Doubles for faults: an engine, a place where a fault acts, a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.base.errors import EngineError
from lab.chaos import faults
from lab.chaos.fault import FaultSite
from lab.engine.commands import Result
from lab.live.active_faults import ActiveFault
from lab.nodes.handles import handle
from lab.topology import loader

TOPOLOGY = loader.load(Path(__file__).parents[2] / "topologies" / "3m3w.yaml").topology


@dataclass
class EngineDouble:
    """A double of the engine: answers commands by the first word that fits, and keeps what was asked."""

    answers: dict[str, Result] = field(default_factory=dict)
    state: dict[str, Any] = field(
        default_factory=lambda: {"Status": "running", "StartedAt": "then"}
    )
    asked: list[str] = field(default_factory=list)
    put_files: list[str] = field(default_factory=list)
    archive: bytes = b""

    def run(
        self, container: str, argv: list[str], *, stdin: bytes | None = None, timeout_s: float = 30
    ) -> Result:
        if self.state["Status"] != "running":
            raise EngineError(f"{container} does not run")
        line = " ".join(argv)
        self.asked.append(line)
        return next(
            (answer for word, answer in self.answers.items() if word in line), Result(0, "")
        )

    def inspect(self, container: str) -> dict[str, Any]:
        networks = {"lab": {"MacAddress": f"02:00:00:00:00:{len(container):02x}"}}
        status = self.state["Status"]
        state = {
            **self.state,
            "Running": status in {"running", "paused"},
            "Paused": status == "paused",
        }
        return {
            "State": state,
            "HostConfig": {"Memory": 0, "CpuQuota": 0},
            "NetworkSettings": {"Networks": networks},
        }

    def read(self, container: str, path: str) -> bytes:
        return self.archive

    def start(self, container: str) -> None:
        self.asked.append(f"start {container}")

    def put(self, container: str, files: list[Any]) -> None:
        self.put_files += [file.path for file in files]


def site(
    name: str = "m",
    engine: EngineDouble | None = None,
    topology: Any = TOPOLOGY,
    group: tuple[str, ...] = (),
) -> FaultSite:
    nodes = {node.name: handle(engine or EngineDouble(), "x", node) for node in topology.machines}
    return FaultSite(nodes[name].engine, topology, "upstream", nodes.pop(name), nodes, group)


def hit(fault: str, before: dict[str, str] | None = None, **options: str) -> ActiveFault:
    return ActiveFault(
        id="00c0ffee",
        fault=fault,
        node="m",
        options={**faults.find(fault).options, **options},
        before=before or {},
    )
