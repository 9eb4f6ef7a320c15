"""The machines: what the engine, the baseboard controllers and Kubernetes say, side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.watch.state import FaultSpan, NodeState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.analysis.history.events import Event
    from lab.watch.lab_shape import LabShape

STALE_S = 10.0
"""What Kubernetes said so long ago counts no more: nobody can be asked."""
OFF = {"exited", "dead", "created", "missing"}
STARTS = {"restarting", "removing"}
NOT_IN_KUBERNETES = {"loadbalancer", "bmc"}


@dataclass(slots=True)
class _Machine:
    name: str
    role: str
    machine: str = ""
    power: str = ""
    kubernetes: str = ""
    asked: float = float("-inf")
    """When Kubernetes was last heard of it."""
    silent: float | None = None
    """Since when it does not run."""
    not_ready: float | None = None
    """Since when Kubernetes calls it NotReady."""
    summary: str = ""
    since: float | None = None


@dataclass(slots=True)
class Machines:
    """All machines of a lab; others that an event names are added."""

    shape: LabShape
    _rows: dict[str, _Machine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with the topology's machines, of which nothing is known."""
        self._rows = {name: _Machine(name, role) for name, role in self.shape.machines}

    def _row(self, node: str) -> _Machine:
        return self._rows.setdefault(node, _Machine(node, "bmc" if node == "bmc" else ""))

    def take_machine(self, t: float, node: str, state: str) -> str:
        """Take in a machine's state in the engine; return what changed for the tape, or ""."""
        row = self._row(node)
        before, row.machine = row.machine, state
        if state == "running":
            row.silent = None
        elif state and row.silent is None:
            row.silent = t
        self._settle(row, t)
        return f"{node} is {state}" if before and state and before != state else ""

    def take_power(self, node: str, power: str) -> bool:
        """Take in a node's power, as its controller says; return whether it changed."""
        row = self._row(node)
        before, row.power = row.power, power
        return bool(before) and before != power

    def take_kubernetes(self, event: Event) -> Iterator[tuple[str, str]]:
        """Take in Kubernetes' list of nodes; yield node and text of what changed."""
        value = event.get("value")
        if event.get("ok") is not True or not isinstance(value, dict):
            return
        for node, state in value.items():
            row = self._row(str(node))
            before, row.kubernetes, row.asked = row.kubernetes, str(state), event.end
            if state == "Ready":
                row.not_ready = None
            elif row.not_ready is None:
                row.not_ready = event.t
            self._settle(row, event.t)
            if before and before != state:
                yield row.name, f"{node} is {state}"

    def _settle(self, row: _Machine, t: float) -> None:
        summary = _summary(row.role, row.machine, row.kubernetes)
        if summary != row.summary:
            row.summary, row.since = summary, t

    def states(self, now: float, active: tuple[FaultSpan, ...]) -> tuple[NodeState, ...]:
        """Return them as they are shown."""
        return tuple(self._state(row, now, active) for row in self._rows.values())

    def _state(self, row: _Machine, now: float, active: tuple[FaultSpan, ...]) -> NodeState:
        not_ready_in, pods_move_in = self._countdowns(row, now)
        kubernetes = "" if now - row.asked > STALE_S else row.kubernetes
        running = row.machine == "running" or (not row.machine and kubernetes == "Ready")
        return NodeState(
            name=row.name,
            role=row.role,
            machine=row.machine,
            power=row.power,
            kubernetes=kubernetes,
            word=_summary(row.role, row.machine, kubernetes) or "unknown",
            good=running and kubernetes != "NotReady",
            since=row.since,
            not_ready_in=not_ready_in,
            pods_move_in=pods_move_in,
            faults=tuple(fault.fault for fault in active if fault.node == row.name),
        )

    def _countdowns(self, row: _Machine, now: float) -> tuple[float | None, float | None]:
        """Return the seconds until Kubernetes calls a node NotReady, and until its pods move.

        At the most: Kubernetes counts from the kubelet's last report, which came somewhat before.
        """
        if row.role in NOT_IN_KUBERNETES:
            return None, None
        evict = self.shape.evict_s
        if row.not_ready is not None:
            left = row.not_ready + evict - now
            return None, left if left > 0 else None
        if row.silent is None or row.kubernetes != "Ready":
            return None, None
        left = max(0.0, row.silent + self.shape.grace_s - now)
        return left, left + evict


def _summary(role: str, state: str, kubernetes: str) -> str:
    """Return what all say of a machine in a few words."""
    if role in NOT_IN_KUBERNETES:
        return "off" if state in OFF else _plain(state)
    if state in OFF:
        return {"Ready": "says Ready but is off", "NotReady": "NotReady, off"}.get(
            kubernetes, "off"
        )
    if state == "paused":
        return {"Ready": "says Ready but is frozen", "NotReady": "NotReady, frozen"}.get(
            kubernetes, "frozen"
        )
    return kubernetes or _plain(state)


def _plain(state: str) -> str:
    return "frozen" if state == "paused" else state
