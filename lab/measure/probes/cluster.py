"""What Kubernetes knows: its Ready nodes, the test Service's endpoints and pods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.measure.manifests import SERVICE
from lab.measure.probe import API, SPACE, ProbeSpec
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from lab.measure.probe import ProbeContext

POLL_S = 0.2
"""Kubernetes decides in seconds; a list costs the API server a millisecond and more."""


@dataclass(frozen=True, slots=True)
class ClusterProbe:
    """Lists from any master that answers: they show the cluster's state, not the way to it."""

    summary: str = "nodes and their readiness, the test Service's endpoints and pods"

    def rows(self, context: ProbeContext) -> tuple[ProbeSpec, ...]:
        """One for each kind of object."""
        addresses = [f"{node.ip}:{KUBERNETES_PORT}" for node in context.topology.masters]
        shared = {"addresses": addresses, "identity": API, "namespace": SPACE, "service": SERVICE}
        texts = {
            "nodes": "list the nodes: which are Ready",
            "endpoints": f"list the endpoints that Service {SPACE}/{SERVICE} sends to",
            "pods": f"list the pods of Service {SPACE}/{SERVICE}: where they are, which are ready",
        }
        more = {"pods": {"path": f"?labelSelector=app%3D{SERVICE}"}}
        return tuple(
            ProbeSpec(
                name=kind,
                settings={"kind": kind, **shared, **more.get(kind, {})},
                question=text,
                interval=POLL_S,
                connection="kept",
            )
            for kind, text in texts.items()
        )


QUESTION = ClusterProbe()
