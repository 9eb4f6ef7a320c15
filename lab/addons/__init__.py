"""What runs on the cluster beyond itself: one file for each add-on, named with _ for -."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.kube import Cluster
    from lab.node import NodeHandle
    from lab.topology.model import Topology
    from lab.wait import Observation


class Addon(Protocol):
    """An add-on."""

    name: str

    def manifests(self, topology: Topology) -> tuple[dict[str, Any], ...]:
        """Give the objects to apply."""

    def ready(self, topology: Topology, cluster: Cluster, node: Callable[[str], NodeHandle]) -> Observation:
        """Tell whether it works, as a user of it would find out. `node` gives a node to ask from, by name."""


def find(name: str) -> Addon:
    """Give the add-on of that name. Raises KeyError where there is none."""
    if name not in names():
        raise KeyError(name)
    return cast("Addon", importlib.import_module(f"{__name__}.{name.replace('-', '_')}").ADDON)


def names() -> tuple[str, ...]:
    """The folder is the list."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))
