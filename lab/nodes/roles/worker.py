"""A worker: a Kubernetes node as the distribution makes it, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.nodes.roles import Traits

if TYPE_CHECKING:
    from lab.engine.files import File
    from lab.kube.secrets import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Topology


@dataclass(frozen=True, slots=True)
class Worker:
    """The role that runs workloads."""

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
        """Return the distribution's files."""
        return distribution.files(topology, node, secrets)

    def ports(self, topology: Topology) -> dict[int, int]:
        """Return no ports: workers are reached through Services."""
        del topology
        return {}


ROLE = Worker()
