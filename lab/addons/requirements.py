"""What an add-on needs of a lab and its host, checked before anything is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.errors import InputError
from lab.kube.objects import node_ready

if TYPE_CHECKING:
    from lab.addons.addon import Addon, AddonContext


def check(addon: Addon, site: AddonContext, *, running: bool) -> None:
    """Raise InputError, with the figure, for an add-on that cannot work here. Changes nothing."""
    needs = addon.needs(site)
    ready = [name for name, item in site.cluster.nodes().items() if node_ready(item)[0]]
    if len(ready) < needs.nodes:
        raise InputError(
            f"add-on {addon.name} needs {needs.nodes} Ready nodes, there are {len(ready)}; "
            "nothing was changed",
            f"`halab status {site.topology.name}` shows them",
        )
    if needs.memory_mib and not running:
        # A node's /proc/meminfo is that of the engine's machine, which may be another than this one
        # (Docker Desktop).
        ask = ["awk", "/^MemAvailable/ {print int($2 / 1024)}", "/proc/meminfo"]
        free = int(site.node(ready[0]).run(ask).output)
        if free < needs.memory_mib:
            raise InputError(
                f"add-on {addon.name} needs {needs.memory_mib} MiB of memory, "
                f"{free} MiB are free on the engine's machine; nothing was changed",
                "stop other labs or programs, or give Docker more memory",
            )
