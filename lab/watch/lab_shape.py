"""What a watch must know of a lab before anything happens in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.topology.model import Topology, from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

EVICT_S = 30.0
"""Pods tolerate a dead node for so long after it was called NotReady: what halab's distributions
give the API server (lab/nodes/distributions); Kubernetes' own default is 300 s."""
TOLERATION = "default-unreachable-toleration-seconds"


@dataclass(frozen=True, slots=True)
class LabShape:
    """The machines of a lab and its delays."""

    name: str
    machines: tuple[tuple[str, str], ...] = ()
    """Name and role, in the topology's order."""
    vip: str = ""
    grace_s: float = 20.0
    """How long a silent node counts as Ready (kube-controller-manager)."""
    evict_s: float = EVICT_S
    fencing: bool = True

    @property
    def masters(self) -> tuple[str, ...]:
        """The masters' names in the topology's order; Corosync numbers them so, from 1."""
        return tuple(name for name, role in self.machines if role == "master")


def shape_of(topology: Topology) -> LabShape:
    """Return the shape of a lab with this topology."""
    own = dict(topology.kubernetes.args.apiserver)
    evict = own.get(TOLERATION, "")
    return LabShape(
        name=topology.name,
        machines=tuple((node.name, node.role.value) for node in topology.machines),
        vip=str(topology.network.vip),
        grace_s=topology.kubernetes.node_monitor_grace_ms / 1000,
        evict_s=float(evict) if evict.isdigit() else EVICT_S,
        fencing=topology.ha.fencing,
    )


def shape_of_run(run: Mapping[str, Any]) -> LabShape:
    """Return the shape of the lab in a run's first event; what it does not say stays empty."""
    try:
        return shape_of(from_json(json.dumps(run["topology"], default=str)))
    except (LookupError, ValueError, TypeError):
        return LabShape(str(run.get("lab") or ""))
