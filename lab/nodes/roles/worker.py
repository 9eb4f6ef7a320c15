"""A worker: a Kubernetes node of the distribution's making, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.engine.spec import CPU_SHARES
from lab.nodes.roles import Traits

if TYPE_CHECKING:
    from lab.engine.files import File
    from lab.kube.pki import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Topology


@dataclass(frozen=True, slots=True)
class Worker:
    """Runs workloads."""

    traits: Traits = field(default=Traits(cpu_shares=CPU_SHARES), init=False)

    def image(self, distribution: Distribution) -> str:
        """The distribution's."""
        return distribution.image

    def volumes(self, node: Node, distribution: Distribution) -> dict[str, str]:
        """The distribution's."""
        return distribution.volumes(node)

    def files(
        self, topology: Topology, node: Node, secrets: Secrets, distribution: Distribution
    ) -> tuple[File, ...]:
        """The distribution's."""
        return distribution.files(topology, node, secrets)

    def ports(self, topology: Topology) -> dict[int, int]:
        """Workers are reached through Services."""
        del topology
        return {}


ROLE = Worker()
