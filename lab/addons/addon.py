"""What runs on the cluster beyond itself: one file for each add-on, named with _ for -.

An add-on says what it needs and what it is made of; `lab/addons/manager.py` builds and loads its
images, applies its objects, installs its chart, waits until it works, and takes it away again.
Objects are labelled by `enable`, not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.topology import releases

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.base.wait import Observation
    from lab.engine.node import NodeHandle
    from lab.kube.api import Cluster
    from lab.live.access import Access
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Topology

Object = dict[str, Any]
"""A Kubernetes object, as in a manifest."""


@dataclass(frozen=True, slots=True)
class AddonContext:
    """Where an add-on works: a lab whose API answers.

    `options` are the user's (`--chart`), empty where there are none.
    """

    topology: Topology
    access: Access
    cluster: Cluster
    node: Callable[[str], NodeHandle]
    options: dict[str, str] = field(default_factory=dict)

    @property
    def distribution(self) -> Distribution:
        """Return the distribution that the lab's nodes were made with."""
        return self.access.distribution

    def at_least(self, minor: tuple[int, int]) -> bool:
        """Whether the cluster's Kubernetes is of this minor release, (1, 34), or a later one.

        As the API server says it: a K3s binary of the user's may be of any version. For fields that
        older ones do not know, or refuse. Raises LabError where the API does not answer.
        """
        return releases.minor(self.cluster.release()) >= minor


@dataclass(frozen=True, slots=True)
class PodImage:
    """An image that its pods need: a word of images/versions.yaml, `addons`.

    `masters`: some of them run on masters, too.
    """

    word: str
    masters: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A Helm release.

    `source` is a folder or archive of this machine, `oci://…`, or `repository/name`.
    """

    release: str
    namespace: str
    source: str
    values: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What must be there before anything is changed.

    Free memory of the engine's machine in MiB, and Ready nodes.
    """

    memory_mib: int = 0
    nodes: int = 1


class Addon:
    """An add-on; subclasses say only what is theirs.

    Everything but `prepare`, `retire` and `clean` is read-only.
    """

    name: str
    summary: str
    core: bool = False
    """Applied as soon as the API answers, without images of its own; can be named in a topology
    only, and not be disabled."""
    packaged: tuple[str, ...] = ()
    """Distributions that bring it themselves: there it is only waited for, and cannot be disabled.
    """
    options: tuple[str, ...] = ()
    """The options that it takes (`chart`)."""
    bundles: tuple[str, ...] = ()
    """Components of images/versions.yaml whose files are published manifests, applied before its
    own; `bundled` chooses from them."""
    timeout_s: float = 180
    """From its objects being applied to working, on a slow machine."""

    def needs(self, site: AddonContext) -> Needs:
        """Return what is checked beforehand."""
        del site
        return Needs()

    def images(self, site: AddonContext) -> tuple[PodImage, ...]:
        """Return the images of its pods that are not inside the node image."""
        del site
        return ()

    def once(self, site: AddonContext) -> tuple[Object, ...]:
        """Return objects that are made where they are missing, and never replaced.

        Certificates and passwords, for example. Asked only where needed.
        """
        del site
        return ()

    def bundled(self, item: Object) -> Object | None:
        """Return an object of its bundles as it is used, None for one that is not."""
        return item

    def manifests(self, site: AddonContext) -> tuple[Object, ...]:
        """Return the objects to apply, in this order; the same for the same site.

        Removed in the opposite order.
        """
        del site
        return ()

    def chart(self, site: AddonContext) -> Chart | None:
        """Return the Helm release, if there is one; installed after the manifests."""
        del site
        return None

    def prepare(self, site: AddonContext) -> None:
        """Do on nodes what objects cannot, before they are applied. Idempotent."""

    def ready(self, site: AddonContext) -> Observation:
        """Whether it works, as a user of it would find out."""
        raise NotImplementedError

    def retire(self, site: AddonContext) -> None:
        """Do what must be done before the objects are deleted: an operator takes down what it made.

        Idempotent.
        """

    def clean(self, site: AddonContext) -> None:
        """Undo `prepare`, after the objects are gone. Idempotent; nodes may be off."""
