"""What a probe is: a row of the agent's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.topology.model import Node, Topology


INTERVAL_S = 0.02
"""Between two questions, seconds."""
TIMEOUT_S = 0.5
"""A later answer is none, seconds. Well below a second: an outage of a second must be seen while it
lasts, and questions to a server that is busy must not pile up on it for long (25 of each at most).
"""
SPACE = "halab-probe"
"""The namespace of all that the instrument has in the cluster; nothing else lives there."""
LABEL = "halab.probe=operation"
"""On the ConfigMaps that clients write: key=value."""
REGISTERS = ("register-1", "register-2", "register-3")
API, ETCD = "api", "etcd"
"""Identities: whom the agent trusts and who it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSpec:
    """One thing that the agent does.

    `settings` are the agent's own words (images/tools/probe/config.go).
    """

    name: str
    settings: dict[str, Any]
    question: str = ""
    interval: float = INTERVAL_S
    timeout: float = TIMEOUT_S
    connection: str = "none"
    pod: str = ""
    """The node in whose pod it runs; empty: in the client container."""
    client: bool = False
    """It writes, reads or listens; `name` is the operations' client."""
    probe: str = ""
    """Of a client: the probe whose samples its operations are, too."""

    def agent(self) -> dict[str, Any]:
        """Return it as the agent reads it."""
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
    """What probes are computed from: the topology, and where the test Service is.

    That is its address in the cluster and its port on every node.
    """

    topology: Topology
    service_ip: str = ""
    node_port: int = 0

    @property
    def pods(self) -> tuple[Node, ...]:
        """The nodes that take workloads: the workers, or all where there are none."""
        return self.topology.workers or self.topology.nodes
