"""What an add-on is: something that runs on the cluster beyond Kubernetes itself.

An add-on says what it needs and what it consists of. `lab/addons/manager.py` builds and loads its
images, labels and applies its objects, installs its chart, waits until it works, and removes it
again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.topology import releases

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.base.wait import Observation
    from lab.engine.node import NodeHandle
    from lab.kube.api import KubeApi
    from lab.live.access import Access
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Topology

Object = dict[str, Any]
"""A Kubernetes object, as in a manifest."""


@dataclass(frozen=True, slots=True)
class AddonContext:
    """Where an add-on works: a lab whose API answers.

    `options` are the user's (`--chart`).
    """

    topology: Topology
    access: Access
    cluster: KubeApi
    node: Callable[[str], NodeHandle]
    options: dict[str, str] = field(default_factory=dict)

    @property
    def distribution(self) -> Distribution:
        """Return the distribution that the lab's nodes were made with."""
        return self.access.distribution

    def at_least(self, minor: tuple[int, int]) -> bool:
        """Whether the cluster's Kubernetes is of this minor release, (1, 34), or a later one.

        It is for fields that older releases do not know, or refuse. The API server is asked: a
        user's own K3s binary may be of any version. Raises LabError if the API does not answer.
        """
        return releases.minor(self.cluster.release()) >= minor


@dataclass(frozen=True, slots=True)
class PodImage:
    """An image that an add-on's pods need: a name in images/versions.yaml under `addons`.

    `masters`: some of the pods run on masters, too.
    """

    name: str
    masters: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A Helm release.

    `source` is a folder or archive on this machine, `oci://…`, or `repository/name`.
    """

    release: str
    namespace: str
    source: str
    values: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What must be there before anything is changed.

    Free memory of the engine's machine in MiB, and the number of Ready nodes.
    """

    memory_mib: int = 0
    nodes: int = 1


class Addon:
    """An add-on; subclasses say only what differs from here.

    Everything but `prepare`, `retire` and `clean` is read-only.
    """

    name: str
    summary: str
    core: bool = False
    """Part of the cluster: applied as soon as the API answers, without images of its own. Only a
    topology can name it, and it cannot be disabled."""
    packaged: tuple[str, ...] = ()
    """Distributions that include it: there it is only waited for, and cannot be disabled."""
    options: tuple[str, ...] = ()
    """The options that it takes (`chart`)."""
    bundles: tuple[str, ...] = ()
    """Components of images/versions.yaml whose files are published manifests. They are applied
    before its own; `bundled` chooses from them."""
    timeout_s: float = 180
    """Until it works, on a slow machine, once its objects are applied."""

    def needs(self, site: AddonContext) -> Needs:
        """Return what is checked before anything is changed."""
        del site
        return Needs()

    def images(self, site: AddonContext) -> tuple[PodImage, ...]:
        """Return the images of its pods that are not inside the node image."""
        del site
        return ()

    def once(self, site: AddonContext) -> tuple[Object, ...]:
        """Return objects that are made if they are missing, and never replaced.

        Certificates and passwords, for example. Asked only if needed.
        """
        del site
        return ()

    def bundled(self, item: Object) -> Object | None:
        """Return an object of its bundles as it is used; None if it is not."""
        return item

    def manifests(self, site: AddonContext) -> tuple[Object, ...]:
        """Return the objects to apply, in this order; the same for the same site.

        They are removed in the opposite order.
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
        """Whether it works, tried as a user would."""
        raise NotImplementedError

    def retire(self, site: AddonContext) -> None:
        """Do what comes before the objects are deleted: an operator removes what it made.

        Idempotent.
        """

    def clean(self, site: AddonContext) -> None:
        """Undo `prepare`, after the objects are gone. Idempotent; nodes may be off."""
