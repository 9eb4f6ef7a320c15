"""A master: a Kubernetes node with etcd and the API, and a member of the Pacemaker cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.engine.files import unit_links
from lab.nodes.ha import cib
from lab.nodes.roles import Traits

if TYPE_CHECKING:
    from lab.engine.files import File
    from lab.kube.secrets import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Topology


@dataclass(frozen=True, slots=True)
class MasterRole:
    """The role that runs the control plane and may hold the floating address."""

    traits: Traits = field(default=Traits(), init=False)

    def image(self, distribution: Distribution) -> str:
        """Return the distribution's image."""
        return distribution.image

    def volumes(self, node: Node, distribution: Distribution) -> dict[str, str]:
        """Return the distribution's volumes."""
        return distribution.volumes(node)

    def files(
        self, topology: Topology, node: Node, secrets: Secrets, distribution: Distribution
    ) -> tuple[File, ...]:
        """Return the distribution's files and the cluster stack's.

        Pacemaker watches the API server but never starts or stops it.
        """
        stack = unit_links(
            "/usr/lib/systemd/system/corosync.service", "/usr/lib/systemd/system/pacemaker.service"
        )
        return (
            *distribution.files(topology, node, secrets),
            *cib.files(topology, secrets, distribution.health),
            *stack,
        )

    def ports(self, topology: Topology) -> dict[int, int]:
        """Return no ports: masters are reached through the load balancer."""
        del topology
        return {}


ROLE = MasterRole()
