"""What a probe is: a row of the agent's configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.topology.model import Node, Topology


INTERVAL_S = 0.02
"""Seconds between two questions."""
TIMEOUT_S = 0.5
"""Seconds after which an answer no longer counts. Well below a second: an outage of a second must
be seen while it lasts, and questions must not pile up on a busy server (at most 25 of each).
"""
SPACE = "halab-probe"
"""The namespace of everything that the instrument has in the cluster; nothing else is in it."""
LABEL = "halab.probe=operation"
"""On the ConfigMaps that clients write: key=value."""
REGISTERS = ("register-1", "register-2", "register-3")
API, ETCD = "api", "etcd"
"""Identities: the agent's certificates, and the authorities that it trusts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSpec:
    """One thing that the agent does.

    `settings` are the agent's own (images/tools/probe/config.go).
    """

    name: str
    settings: dict[str, Any]
    question: str = ""
    interval: float = INTERVAL_S
    timeout: float = TIMEOUT_S
    connection: str = "none"
    pod: str = ""
    """The node in whose pod it runs; empty: in the agent's container."""
    client: bool = False
    """Whether it writes, reads or listens; then `name` is the operations' client."""
    probe: str = ""
    """Of a client: the probe whose samples its operations are as well."""
    by_engine: bool = False
    """Whether it is a command that the engine runs on a node: then neither the agent nor a pod has
    it, and `settings` are those of lab/measure/pod_asker.py."""
    slowed_at_most: float = math.inf
    """How many times less often it may ask on a busy machine."""

    def slowed(self, pace: float) -> ProbeSpec:
        """Return the row with an interval longer by a factor (lab/measure/pace.py)."""
        return replace(self, interval=self.interval * min(pace, self.slowed_at_most))

    def agent(self) -> dict[str, Any]:
        """Return the row as the agent reads it."""
        more = {"probe": self.probe} if self.probe else {}
        return {
            "name": self.name,
            "interval": self.interval,
            "timeout": self.timeout,
            "connection": self.connection,
            **more,
            **self.settings,
        }

    def instrument(self) -> dict[str, Any]:
        """Return the data of its `instrument` event."""
        data = {
            "question": self.question,
            "interval": self.interval,
            "timeout": self.timeout,
            "connection": self.connection,
        }
        return {"probe": self.probe or self.name, **data}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeContext:
    """What probes are computed from.

    The topology, and the test Service's address in the cluster and port on every node.
    """

    topology: Topology
    service_ip: str = ""
    node_port: int = 0

    @property
    def pods(self) -> tuple[Node, ...]:
        """The nodes that run workloads: the workers; all if there are none."""
        return self.topology.workers or self.topology.nodes
