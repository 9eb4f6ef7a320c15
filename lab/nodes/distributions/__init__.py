"""What makes a master or worker a Kubernetes node. Everything above knows only this Protocol."""

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
    from lab.kube.pki import Pair, Secrets
    from lab.topology.model import Node, Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How a master's own API server is asked whether it can serve: the arguments of the resource agent `ocf:halab:apiserver`.

    Paths are paths on the node.
    """

    url: str
    ca: str
    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """How a master's own etcd is asked over HTTP: credentials, as paths on the node, and the port.

    `port` is the one on loopback that serves etcd's JSON gateway.
    """

    ca: str
    certificate: str
    key: str
    port: int


HEALTH_USER = "halab-health"
"""Who asks for /readyz only: of no group, it may do no more than anybody with a certificate."""


class Distribution(Protocol):
    """One way to run Kubernetes on the lab's machines."""

    name: str
    image: str
    """The folder under images/ whose image the masters and workers run."""
    health: HealthCheck
    etcd_client: Client
    """What a master's root may use to ask its own etcd member."""
    admin_kubeconfig: str
    """Where a master has the administrator's kubeconfig once it has booted."""
    datastore: str
    """A path that a master has once its etcd has data, and not before."""
    joins_itself: bool
    """Whether a master makes itself known to the others' etcd when it joins; else halab does."""

    def volumes(self, node: Node) -> dict[str, str]:
        """Return the node's volumes, purpose → mount point: what cannot live on the container's overlay, and the node's disk."""

    def files(self, topology: Topology, node: Node, secrets: Secrets) -> tuple[File, ...]:
        """Return the files that make the node boot as part of the cluster, units and their links included."""

    def rejoining(self, topology: Topology, node: Node, keeper: Node) -> tuple[File, ...]:
        """Return what differs from `files` for a master that lost its disk and joins by `keeper`."""

    def waves(self, topology: Topology) -> tuple[tuple[Node, ...], ...]:
        """Return the order of the first boot.

        The nodes of a wave boot together once `admits` holds for all of the wave before.
        """

    def admits(self, node: NodeHandle) -> Observation:
        """Whether others may join by this node. Asked on the node itself, read-only."""

    def joined(self, node: NodeHandle) -> Observation:
        """Whether a master is a full member of its cluster; asked on itself, read-only."""

    def settle(self, topology: Topology, run: Callable[[str], NodeHandle]) -> None:
        """Do what can be done only after nodes' first boot. Done at every start: idempotent.

        `run` gives a node's handle by name.
        """

    def manifests(self, topology: Topology) -> tuple[dict[str, Any], ...]:
        """Return the objects that the cluster itself needs, applied as soon as the API answers."""

    def admin(self, secrets: Secrets) -> Pair:
        """Return the administrator's client certificate for kubeconfigs."""

    def client(self, secrets: Secrets, user: str) -> Pair:
        """Issue a certificate by which the API knows a user of no group."""

    def server_authority(self, secrets: Secrets) -> bytes:
        """Return the certificate (PEM) that the API's server certificate is checked against."""


def find(name: str) -> Distribution:
    """Return the distribution of that name. Raises KeyError where there is none."""
    if name not in names():
        raise KeyError(name)
    return cast("Distribution", importlib.import_module(f"{__name__}.{name}").DISTRIBUTION)


def names() -> tuple[str, ...]:
    """The folder is the list: one file, one distribution."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
