"""Does the cluster's DNS answer a pod on each node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.measure.probe import ProbeSpec

if TYPE_CHECKING:
    from lab.measure.probe import ProbeContext

NAME = "kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Dns:
    """One UDP packet, never sent again: a resolver's retries hide what is lost."""

    summary: str = "a name of the cluster, asked by a pod on each node"

    def rows(self, context: ProbeContext) -> tuple[ProbeSpec, ...]:
        """One for each node with pods."""
        server = f"{context.topology.kubernetes.cluster_dns}:53"
        settings = {"kind": "dns", "addresses": [server], "query": NAME}
        return tuple(
            ProbeSpec(
                name=f"dns.pod.{node.name}",
                settings=settings,
                question=f"A {NAME} at {server}, UDP, from a pod on {node.name}",
                pod=node.name,
            )
            for node in context.pods
        )


QUESTION = Dns()
