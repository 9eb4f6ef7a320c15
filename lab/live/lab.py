"""The handle of a lab that exists, or is about to: its topology, and the engine that runs it."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base import names
from lab.base.errors import InputError, LabError
from lab.base.progress import Silent
from lab.engine.files import unpack
from lab.engine.labels import LABEL_DISTRIBUTION, container_name
from lab.kube import kubeconfig
from lab.live import secret_volume
from lab.live.access import Access, Credentials
from lab.nodes import distributions
from lab.nodes.handles import handle
from lab.topology.model import KUBERNETES_PORT, Topology, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.engine.node import NodeHandle
    from lab.engine.spec import Observed
    from lab.images.builder import Builder
    from lab.kube.api import KubeApi
    from lab.kube.secrets import Secrets
    from lab.nodes.distributions import Distribution


READ_TIMEOUT_S = 2
"""For a small file of a node that runs."""


def find(
    engine: Engine,
    name: str = "",
    reporter: Reporter | None = None,
    held: Mapping[str, Observed] | None = None,
) -> Lab:
    """Return a lab that the engine holds; without a name, the only one.

    `held` is what the engine holds, if the caller has just looked. Raises InputError, which lists
    the labs, if there is no such lab, and LabError if its network has another lab's topology.
    """
    held = engine.labs() if held is None else held
    labs = {lab: observed for lab, observed in held.items() if names.is_name(lab)}
    if not name and len(labs) == 1:
        name = next(iter(labs))
    if name not in labs or not labs[name].topology:
        raise _not_there(name, labs)
    topology = from_json(labs[name].topology)
    if topology.name != name:
        raise LabError(f"the network of lab `{name}` has the label of another lab's topology")
    return Lab(engine, topology, reporter or Silent())


def _not_there(name: str, labs: Mapping[str, Observed]) -> InputError:
    known = ", ".join(labs) or "none"
    if name in labs:
        what = f"lab `{name}` is only half there (its network is missing)"
        return InputError(what, f"labs here: {known}; `halab destroy {name}` removes the rest")
    if name:
        return InputError(f"there is no lab `{name}`", f"labs here: {known}")
    return InputError("no lab is named, and there is not exactly one", f"labs here: {known}")


def distribution_of(observed: Observed) -> str:
    """Return the name of the distribution that a lab's nodes were made with; "" for no nodes."""
    for container in observed.containers:
        if LABEL_DISTRIBUTION in container.labels:
            return container.labels[LABEL_DISTRIBUTION]
    return ""


@dataclass(slots=True)
class Lab:
    """A lab's handle. It answers questions and changes nothing."""

    engine: Engine
    topology: Topology
    reporter: Reporter = field(default_factory=Silent)
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set by ^C: what waits gives up."""
    _credentials: Credentials | None = None

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.topology.name

    def observe(self) -> Observed:
        """Return what the engine holds of this lab now."""
        return self.engine.observe(self.name)

    def node(self, name: str) -> NodeHandle:
        """Return a node's handle. Raises InputError for a name that no node of the lab has."""
        try:
            return handle(self.engine, self.name, self.topology.node(name))
        except KeyError:
            known = ", ".join(node.name for node in self.topology.containers)
            what = f"lab {self.name} has no node `{name}`"
            raise InputError(what, f"its nodes: {known}") from None

    def distribution(self, observed: Observed | None = None) -> Distribution:
        """Return the distribution that the lab's nodes were made with.

        `observed` is what the engine holds, if the caller has just looked. Raises LabError if there
        are no nodes.
        """
        name = distribution_of(self.observe() if observed is None else observed)
        if not name:
            raise self._no_nodes()
        return distributions.find(name)

    def _no_nodes(self) -> LabError:
        return LabError(f"lab {self.name} has no nodes yet", f"run `halab start {self.name}`")

    def builder(self) -> Builder:
        """Return the builder of this lab's images."""
        # Imported late: most commands build nothing.
        from lab.images.builder import Builder
        from lab.images.sources import sources_for

        return Builder(self.engine, sources_for(self.engine, self.topology), self.reporter)

    # --- access ---

    def secrets(self) -> Secrets:
        """Return the lab's secrets from its volume, by a container that never starts.

        Raises LabError if there are no nodes, or the secrets are incomplete.
        """
        # The image is one of its own nodes': the lab may be older than this halab and its images.
        images = [container.image for container in self.observe().containers if container.image]
        if not images:
            raise self._no_nodes()
        return secret_volume.read(self.engine, self.name, images[0])

    def port(self, observed: Observed | None = None) -> int:
        """Return the API's port on the host. Raises LabError if the load balancer does not run.

        `observed` is what the engine holds, if the caller has just looked.
        """
        port = self._published() if observed is None else self._published_in(observed)
        if not port:
            raise LabError(
                f"the load balancer of lab {self.name} does not run",
                f"`halab start {self.name}` starts it",
            )
        return port

    def _published(self) -> int:
        balancer = container_name(self.name, self.topology.loadbalancer.name)
        return self.engine.published(balancer, KUBERNETES_PORT)

    def _published_in(self, observed: Observed) -> int:
        balancer = observed.container(self.topology.loadbalancer.name)
        return balancer.ports.get(KUBERNETES_PORT, 0) if balancer else 0

    @property
    def knows_credentials(self) -> bool:
        """Whether `access` needs no node for the administrator's credentials."""
        return self._credentials is not None

    def learn_credentials(self, text: str, distribution: Distribution) -> None:
        """Keep the credentials in the kubeconfig that a master printed, if it is one."""
        with contextlib.suppress(LabError):
            path = distribution.admin_kubeconfig
            self._credentials = Credentials(*kubeconfig.credentials(text, path))

    def access(
        self, distribution: Distribution | None = None, observed: Observed | None = None
    ) -> Access:
        """Return the way to the lab's API. Raises LabError if the load balancer does not run.

        `observed` is what the engine holds, if the caller has just looked.
        """
        own = distribution or self.distribution(observed)
        if self._credentials is None:
            self._credentials = self._read_credentials(own)
        return Access(own, self._credentials, self.port(observed))

    def _read_credentials(self, distribution: Distribution) -> Credentials:
        """Return the administrator's credentials from a master's disk, else from the secrets.

        It takes no helper container, which matters because status is asked for while a run is
        measured.
        """
        path = distribution.admin_kubeconfig
        for node in self.topology.masters:
            for read in (_printed, _unpacked):
                with contextlib.suppress(LabError):
                    text = read(self.node(node.name), path)
                    return Credentials(*kubeconfig.credentials(text, path))
        return Credentials.of_secrets(distribution, self.secrets())

    @contextlib.contextmanager
    def cluster(self) -> Iterator[KubeApi]:
        """Yield a client of the lab's API. Raises LabError as `access` does."""
        with self.access().cluster() as cluster:
            yield cluster


def _printed(node: NodeHandle, path: str) -> str:
    """Return a file of a node that runs, in half of the time that the engine needs for it."""
    return node.run(["cat", path], timeout_s=READ_TIMEOUT_S).output


def _unpacked(node: NodeHandle, path: str) -> str:
    """Return a file of a node, whether it runs or not."""
    files = unpack(node.engine.read(node.container, path))
    return b"".join(files.values()).decode(errors="replace")
