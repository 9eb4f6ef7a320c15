"""A lab that exists, or is about to: its topology and the engine that runs it."""

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
    from lab.kube.api import Cluster
    from lab.kube.pki import Secrets
    from lab.nodes.distributions import Distribution


def find(
    engine: Engine,
    name: str = "",
    reporter: Reporter | None = None,
    held: Mapping[str, Observed] | None = None,
) -> Lab:
    """Return a lab that the engine holds; without a name the only one.

    `held` is what the engine holds, where the caller has just looked. Raises InputError that lists
    what there is.
    """
    seen = engine.labs() if held is None else held
    labs = {one: observed for one, observed in seen.items() if names.is_name(one)}
    if not name and len(labs) == 1:
        name = next(iter(labs))
    if name not in labs or not labs[name].topology:
        raise _not_there(name, labs)
    topology = from_json(labs[name].topology)
    if topology.name != name:
        raise LabError(f"the network of lab `{name}` bears the label of another lab's topology")
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
    """Return the name of the distribution that a lab's nodes were made with; empty for no nodes."""
    for container in observed.containers:
        if LABEL_DISTRIBUTION in container.labels:
            return container.labels[LABEL_DISTRIBUTION]
    return ""


@dataclass(slots=True)
class Lab:
    """A handle: it looks and lends, and changes nothing."""

    engine: Engine
    topology: Topology
    reporter: Reporter = field(default_factory=Silent)
    cancelled: threading.Event = field(default_factory=threading.Event)
    _credentials: Credentials | None = None

    @property
    def name(self) -> str:
        """Return the lab's name."""
        return self.topology.name

    def observe(self) -> Observed:
        """Return what the engine holds of this lab."""
        return self.engine.observe(self.name)

    def node(self, name: str) -> NodeHandle:
        """Return a node's handle. Raises InputError for a name that the lab does not have."""
        try:
            return handle(self.engine, self.name, self.topology.node(name))
        except KeyError:
            known = ", ".join(node.name for node in self.topology.containers)
            what = f"lab {self.name} has no node `{name}`"
            raise InputError(what, f"its nodes: {known}") from None

    def distribution(self, observed: Observed | None = None) -> Distribution:
        """Return the distribution that the lab's nodes were made with."""
        name = distribution_of(self.observe() if observed is None else observed)
        if not name:
            raise self._no_nodes()
        return distributions.find(name)

    def _no_nodes(self) -> LabError:
        return LabError(f"lab {self.name} has no nodes yet", f"run `halab start {self.name}`")

    def builder(self) -> Builder:
        """Return what makes this lab's images."""
        # Imported late: most commands build nothing.
        from lab.images.builder import Builder
        from lab.images.sources import sources_for

        return Builder(self.engine, sources_for(self.engine, self.topology), self.reporter)

    # --- access ---

    def secrets(self) -> Secrets:
        """Return the lab's secrets from its volume, by way of a container that never starts."""
        # An image of its own nodes: the lab may be older than this halab and its images.
        image = next((found.image for found in self.observe().containers if found.image), "")
        if not image:
            raise self._no_nodes()
        return secret_volume.read(self.engine, self.name, image)

    def port(self) -> int:
        """Return the host's port of the API. Raises LabError while the load balancer has none."""
        balancer = container_name(self.name, self.topology.loadbalancer.name)
        port = self.engine.published(balancer, KUBERNETES_PORT)
        if not port:
            raise LabError(
                f"the load balancer of lab {self.name} does not run",
                f"`halab start {self.name}` starts it",
            )
        return port

    def access(self, distribution: Distribution | None = None) -> Access:
        """Return the way to the lab's API. Raises LabError while the load balancer does not run."""
        own = distribution or self.distribution()
        if self._credentials is None:
            self._credentials = self._read_credentials(own)
        return Access(own, self._credentials, self.port())

    def _read_credentials(self, distribution: Distribution) -> Credentials:
        """Return the administrator's credentials from a master's disk, else from the secrets.

        A file of a container can be had whether it runs or not, and costs no container of its own:
        status is asked for while a run is measured.
        """
        path = distribution.admin_kubeconfig
        for node in self.topology.masters:
            with contextlib.suppress(LabError):
                files = unpack(self.engine.read(container_name(self.name, node.name), path))
                text = b"".join(files.values()).decode(errors="replace")
                return Credentials(*kubeconfig.credentials(text, path))
        return Credentials.of_secrets(distribution, self.secrets())

    @contextlib.contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """Lend the cluster's API, through the load balancer's port."""
        with self.access().cluster() as cluster:
            yield cluster
