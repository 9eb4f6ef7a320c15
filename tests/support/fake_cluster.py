"""A double of a cluster's API: its nodes, what was applied to it, and objects by path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.base.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence


def node_item(
    labels: dict[str, str],
    status: str = "True",
    heartbeat: str = "2027-01-15T08:00:01Z",
    **more: str,
) -> dict[str, Any]:
    """Return a node as the API shows it."""
    ready = {"type": "Ready", "status": status, "lastHeartbeatTime": heartbeat, **more}
    info = {"kubeletVersion": "v1.36.3"}
    return {
        "metadata": {"labels": dict(labels)},
        "status": {"conditions": [ready], "nodeInfo": info},
    }


@dataclass
class FakeCluster:
    """The double. `silence` is why its nodes cannot be asked for; empty where they can."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    ready: bool = True
    silence: str = ""
    labelled: dict[str, dict[str, str]] = field(default_factory=dict)
    applied: list[Any] = field(default_factory=list)
    server: str = "https://127.0.0.1:6443"

    def readyz(self) -> bool:
        return self.ready

    def nodes(self) -> dict[str, dict[str, Any]]:
        if self.silence:
            raise LabError(self.silence)
        return self.items

    def label_node(self, name: str, labels: dict[str, str]) -> None:
        self.labelled[name] = labels

    def apply(self, objects: Sequence[Any]) -> None:
        self.applied += objects

    def get(self, path: str) -> dict[str, Any]:
        del path
        return {"items": []}
