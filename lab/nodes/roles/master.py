"""A master: a Kubernetes node that also holds etcd and the API, and a member of the Corosync/Pacemaker cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.engine.files import unit_links
from lab.nodes.ha import cib
from lab.nodes.roles import Traits

if TYPE_CHECKING:
    from lab.engine.files import File
    from lab.kube.pki import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Topology


@dataclass(frozen=True, slots=True)
class Master:
    """Runs the control plane and may hold the floating address."""

    traits: Traits = field(default=Traits(), init=False)

    def image(self, distribution: Distribution) -> str:
        """The distribution's."""
        return distribution.image

    def volumes(self, node: Node, distribution: Distribution) -> dict[str, str]:
        """The distribution's."""
        return distribution.volumes(node)

    def files(
        self, topology: Topology, node: Node, secrets: Secrets, distribution: Distribution
    ) -> tuple[File, ...]:
        """The distribution's, and the cluster stack's; Pacemaker watches the API server but never starts or stops it."""
        stack = unit_links(
            "/usr/lib/systemd/system/corosync.service", "/usr/lib/systemd/system/pacemaker.service"
        )
        return (
            *distribution.files(topology, node, secrets),
            *cib.files(topology, secrets, distribution.health),
            *stack,
        )

    def ports(self, topology: Topology) -> dict[int, int]:
        """Masters are reached through the load balancer."""
        del topology
        return {}


ROLE = Master()
