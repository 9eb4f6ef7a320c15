"""What a node is for: a module for each role.

It says the role's image, its volumes and the files that are laid down before the boot.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from lab.engine.spec import CPU_SHARES

if TYPE_CHECKING:
    from lab.engine.files import File
    from lab.kube.secrets import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Role, Topology


MACHINE_SHARES = 4 * CPU_SHARES
"""The CPU weight of a machine: four times the engine's default.

On a busy host a lab must not wait for a program of the host's: neither Corosync's token, whose loss
costs a master its power, nor the load balancer, for which everybody waits. All machines weigh the
same, since real ones share no processor. With workers at a quarter, a master that boots, and needs
two processors for ten seconds, kept pods on workers from theirs: they had no DNS for up to 0.8 s
after a crash; with equal weights it was 0.4 s at most (tests/bench/README.md).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What sets a role's containers apart; `ContainerSpec` in lab/engine/spec.py explains each.

    `Topology.management_ip` says who is on the management network.
    """

    cluster: bool = True
    """Whether the container is on the lab's own network."""
    machine: bool = True
    engine_socket: bool = False
    cpu_shares: int = MACHINE_SHARES
    sysctls: dict[str, str] = field(default_factory=dict)


class RoleKind(Protocol):
    """A role: pure functions of topology, secrets and distribution."""

    @property
    def traits(self) -> Traits:
        """What sets the role's containers apart."""

    def image(self, distribution: Distribution) -> str:
        """Return the image's name: its folder under images/."""

    def volumes(self, node: Node, distribution: Distribution) -> dict[str, str]:
        """Return the node's volumes, purpose → mount point."""

    def files(
        self, topology: Topology, node: Node, secrets: Secrets, distribution: Distribution
    ) -> tuple[File, ...]:
        """Return the files that are laid down before the boot."""

    def ports(self, topology: Topology) -> dict[int, int]:
        """Return the ports published on the host's 127.0.0.1: container → host (0: any)."""


def find(role: Role) -> RoleKind:
    """Return the role's implementation, from the module of its name."""
    return cast("RoleKind", importlib.import_module(f"{__name__}.{role.value}").ROLE)


def names() -> tuple[str, ...]:
    """Return the roles' names. The folder is the list: one module, one role."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
