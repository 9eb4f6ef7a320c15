"""What `halab doctor` says about memory, processors and disk. `failed`: `halab start` refuses it.

Both ask lab/host/capacity.py. Machines of the lab that run, or have their disk, need nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.sizes import GIB
from lab.host import capacity
from lab.host.findings import Finding

if TYPE_CHECKING:
    from lab.host.capacity import Room
    from lab.topology.model import Node, Role, Topology

BUILD_BYTES = 6 * GIB
FREE_DISK = "free some: `docker system df`"


def memory(topology: Topology, off: list[Node], room: Room) -> Finding:
    """Judge whether the memory is enough for the machines that a start would power on."""
    if not room.memory:
        return Finding("memory", "warning", "the engine does not tell", "see that there is enough")
    free = f"{room.free_memory / GIB:.1f} GiB free"
    if not off:
        return Finding("memory", "ok", f"{free}, lab {topology.name} runs")
    least, need = capacity.memory_needs(off)
    seen = f"{free}, lab {topology.name} needs {need / GIB:.1f} GiB"
    if not capacity.memory_suffices(least, room):
        total = f"{room.memory / GIB:.1f} GiB in all"
        remedy = "take a smaller topology (1m1w), or give Docker more memory"
        return Finding("memory", "failed", f"{seen}, {least / GIB:.1f} when idle; {total}", remedy)
    if room.free_memory < need:
        remedy = "stop something, or take a smaller topology (1m1w)"
        return Finding("memory", "warning", seen, remedy)
    return Finding("memory", "ok", seen)


def processors(topology: Topology, others: list[Role], room: Room) -> Finding:
    """Judge the processors for the lab beside `others`, the machines of other labs that run."""
    roles = [*others, *(node.role for node in topology.containers)]
    warning = capacity.processors(topology, roles, room)
    if warning:
        return Finding("processors", "warning", warning, "stop other labs, or raise ha.token")
    return Finding("processors", "ok", f"{room.cpus or 'an unknown number'}")


def disk(
    topology: Topology,
    making: list[Node],
    room: Room,
    distribution: str,
    *,
    place: str,
    built: bool,
) -> Finding:
    """Judge the disk of the engine's data, at `place`, for the machines that a start would make.

    `distribution` is the one that they would get. `built`: the images are here, so that no room is
    needed to build them.
    """
    free = f"{room.free_disk / GIB:.1f} GiB free at {place}"
    if not room.free_disk:
        return Finding("disk", "warning", "free space not known", "see `docker system df`")
    need = capacity.disk_need(making, (distribution,))
    least = capacity.disk_need(making, topology.kubernetes.distributions)
    nodes = capacity.count_nodes(node.role for node in making)
    seen = f"{free}, {nodes} new nodes with {distribution} need {need / GIB:.1f} GiB"
    if not capacity.disk_suffices(least, room):
        remedy = f"{FREE_DISK}, `halab images remove`"
        return Finding("disk", "failed", seen, remedy)
    if room.free_disk < need:
        return Finding("disk", "warning", seen, FREE_DISK)
    if making and not built and room.free_disk < need + BUILD_BYTES:
        more = f"{seen}, a first build {BUILD_BYTES / GIB:.0f} GiB more"
        return Finding("disk", "warning", more, FREE_DISK)
    return Finding("disk", "ok", seen)
