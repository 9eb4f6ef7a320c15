"""What a node is for: one file for each role, with its image, its volumes and the files laid down before it boots."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from lab.engine.spec import CPU_SHARES

if TYPE_CHECKING:
    from lab.engine.files import File
    from lab.kube.pki import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Role, Topology


MASTERS_SHARES = 4 * CPU_SHARES
"""Of masters, of the controllers that shoot them, and of the load balancer: on a busy host
workloads wait, not the token whose loss costs a master its power, nor nginx, which needs little and
which everybody waits for.

Four times a worker's: real masters share no processor with workers at all.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What sets a role's containers apart (`ContainerSpec` in lab/engine/spec.py says what each means).

    `cluster`: whether it is on the lab's network; who is on the management network,
    `Topology.management_ip` says.
    """

    cluster: bool = True
    machine: bool = True
    engine_socket: bool = False
    cpu_shares: int = MASTERS_SHARES
    sysctls: dict[str, str] = field(default_factory=dict)


class RoleKind(Protocol):
    """A role: pure functions of topology and secrets."""

    @property
    def traits(self) -> Traits:
        """What sets its containers apart."""

    def image(self, distribution: Distribution) -> str:
        """Return the word of the image under images/."""

    def volumes(self, node: Node, distribution: Distribution) -> dict[str, str]:
        """Return the node's volumes, purpose → mount point."""

    def files(
        self, topology: Topology, node: Node, secrets: Secrets, distribution: Distribution
    ) -> tuple[File, ...]:
        """Return the files laid down before the boot."""

    def ports(self, topology: Topology) -> dict[int, int]:
        """Return what is published on the host's 127.0.0.1, container port → host port (0: any)."""


def find(role: Role) -> RoleKind:
    """Return the role's code: the module of its name."""
    return cast("RoleKind", importlib.import_module(f"{__name__}.{role.value}").ROLE)


def names() -> tuple[str, ...]:
    """The folder is the list."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
