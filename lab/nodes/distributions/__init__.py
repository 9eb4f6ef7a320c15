"""What turns a master or worker into a Kubernetes node: the Protocol, and who implements it.

Everything above this package knows the Protocol only.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.base.wait import Observation
    from lab.engine.files import File
    from lab.engine.node import NodeHandle
    from lab.kube.secrets import Pair, Secrets
    from lab.topology.model import Node, Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """The arguments of the resource agent `ocf:halab:apiserver`.

    It asks a master's own API server whether it can serve. All but `url` are paths on the node.
    """

    url: str
    ca: str
    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What it takes to ask a master's own etcd over HTTP.

    The credentials are paths on the node. `port`, on loopback, serves etcd's JSON gateway.
    """

    ca: str
    certificate: str
    key: str
    port: int


HEALTH_USER = "halab-health"
"""The user who asks for /readyz only. In no group, it may do what any certificate allows."""


class Distribution(Protocol):
    """One way to run Kubernetes on the lab's machines."""

    name: str
    image: str
    """The folder under images/ whose image masters and workers run."""
    health: HealthCheck
    etcd_client: Client
    """How a master's root may ask its own etcd member."""
    admin_kubeconfig: str
    """Where a master keeps the administrator's kubeconfig once it has booted."""
    datastore: str
    """A path that exists on a master once its etcd has data, and not before."""
    joins_itself: bool
    """Whether a joining master adds itself to the others' etcd; otherwise halab adds it."""

    master_moves: bool
    """Whether a lone master finds its data again after its address has changed."""

    def volumes(self, node: Node) -> dict[str, str]:
        """Return the node's volumes: purpose → mount point.

        They hold the node's disk, and what cannot live on the container's overlay.
        """

    def files(self, topology: Topology, node: Node, secrets: Secrets) -> tuple[File, ...]:
        """Return the files with which the node boots into the cluster, enabled units included."""

    def rejoining(self, topology: Topology, node: Node, keeper: Node) -> tuple[File, ...]:
        """Return the files that a master has instead if it lost its disk; it joins by `keeper`."""

    def waves(self, topology: Topology) -> tuple[tuple[Node, ...], ...]:
        """Return the order of the first boot.

        The nodes of a wave boot together, once `admits` holds for every node of the wave before.
        """

    def admits(self, node: NodeHandle) -> Observation:
        """Whether others may join through this node. Asks on the node and changes nothing."""

    def joined(self, node: NodeHandle) -> Observation:
        """Whether a master is a full member of its cluster. Asks there and changes nothing."""

    def settle(self, topology: Topology, run: Callable[[str], NodeHandle]) -> None:
        """Do what is possible only after the nodes' first boot.

        It is called at every start, so it is idempotent. `run` returns a node's handle by name.
        """

    def manifests(self, topology: Topology) -> tuple[dict[str, Any], ...]:
        """Return the objects that the cluster itself needs, applied as soon as the API answers."""

    def admin(self, secrets: Secrets) -> Pair:
        """Return the administrator's client certificate, for kubeconfigs."""

    def client(self, secrets: Secrets, user: str) -> Pair:
        """Issue a client certificate for a user who is in no group."""

    def server_authority(self, secrets: Secrets) -> bytes:
        """Return the certificate (PEM) that signs the API's server certificate."""


def find(name: str) -> Distribution:
    """Return the distribution of that name. Raises KeyError if there is none."""
    if name not in names():
        raise KeyError(name)
    return cast("Distribution", importlib.import_module(f"{__name__}.{name}").DISTRIBUTION)


def names() -> tuple[str, ...]:
    """Return the distributions' names. The folder is the list: one module, one distribution."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
