"""Does a Service in the cluster answer, from outside and from inside.

From outside at its port on the floating address, from inside from a pod on each node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.measure.probe import ProbeSpec

if TYPE_CHECKING:
    from lab.measure.probe import ProbeContext

PORT = 80


@dataclass(frozen=True, slots=True)
class ServiceProbe:
    """Plain HTTP on new connections: kube-proxy chooses an endpoint for each."""

    summary: str = "the test Service, from outside (VIP and node port) and from a pod on each node"

    def rows(self, context: ProbeContext) -> tuple[ProbeSpec, ...]:
        """From outside through the VIP: the one address that outlives every node."""
        outside = f"{context.topology.network.vip}:{context.node_port}"
        inside = f"{context.service_ip}:{PORT}"
        pods = (
            _row(f"service.pod.{node.name}", inside, f"from a pod on {node.name}", node.name)
            for node in context.pods
        )
        return (_row("service.outside", outside, "from outside, by the node port", ""), *pods)


def _row(name: str, address: str, where: str, pod: str) -> ProbeSpec:
    settings = {"kind": "http", "addresses": [address], "path": "/", "codes": [200]}
    return ProbeSpec(
        name=name,
        settings=settings,
        question=f"GET http://{address}/ {where}",
        connection="new",
        pod=pod,
    )


QUESTION = ServiceProbe()
