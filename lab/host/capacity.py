"""Whether the engine's machine has room for a lab, with figures, before anything is made.

What certainly fails is refused: even an idle lab has no room. All else is a warning: another lab
may be stopped meanwhile, and pods may need nothing.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.base.errors import InputError, LabError
from lab.base.sizes import MIB, spell
from lab.engine.labels import LABEL_ROLE
from lab.topology.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lab.engine.client import Engine
    from lab.engine.spec import Observed
    from lab.topology.model import Node, Topology

IDLE_BYTES = {
    Role.MASTER: 430 * MIB,
    Role.WORKER: 110 * MIB,
    Role.LOADBALANCER: 10 * MIB,
    Role.BMC: 18 * MIB,
}
"""Memory of an idle machine of upstream Kubernetes (tests/bench/README.md: 1.7 GiB for 3m3w), that
of K3s is not less. Without it a lab certainly does not run."""
USUAL_BYTES = {**IDLE_BYTES, Role.MASTER: 600 * MIB, Role.WORKER: 150 * MIB}
"""What a machine may use while pods of the lab's own run."""
SPARE_BYTES = 512 * MIB
NODE_BYTES = {"upstream": 512 * MIB, "k3s": 1843 * MIB}
"""Distribution → what a node writes to disk, its volumes included.

A K3s node has its unpacked programs (250 MB) and the archive of its images (200 MB), which an empty
volume copies from the image, and what it imports (1.3 GB: the archive of v1.36 unpacked, and its
compressed blobs).
"""
BESIDE_BYTES = 64 * MIB
"""The load balancer's or the BMC's journal and files."""
IDLE_MILLICPUS = {Role.MASTER: 110, Role.WORKER: 20, Role.LOADBALANCER: 10, Role.BMC: 0}
"""Thousandths of a processor that an idle machine uses (0.4 in all for 3m3w, measured)."""
BUSY = 0.5
"""Of the processors. What idle labs leave must do for pods, probes and Corosync's token."""
CGROUP_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""The files of cgroup v2 and v1 that limit the container in which this program and its engine run.

On a machine of its own the first is missing, and the second is larger than any memory.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the engine's machine has; 0 where it is not known."""

    memory: int = 0
    """Bytes in all, with swap."""
    free_memory: int = 0
    cpus: int = 0
    free_disk: int = 0
    """Bytes where the engine keeps its data."""
    sure: bool = False
    """Whether these figures are this kernel's own. The machine of another engine may have swap that
    no figure shows."""


def missing(topology: Topology, observed: Observed) -> list[Node]:
    """Return the machines that a start of the lab would make."""
    return [node for node in topology.containers if observed.container(node.name) is None]


def starting(topology: Topology, observed: Observed) -> list[Node]:
    """Return the machines that a start of the lab would power on."""
    return [node for node in topology.containers if not _runs(observed, node)]


def check(
    topology: Topology, engine: Engine, observed: Observed, others: list[Role]
) -> dict[str, str]:
    """Return warnings about what the engine's machine has too little of for a start.

    They are by what there is too little of, or by the node that may use more than there is.
    `others` are the roles of machines of other labs that run.

    Raises InputError for limits that the engine cannot hold, and LabError where a lab certainly
    has no room.
    """
    info = engine.about
    _check_limits(topology, info)
    room = room_of(info, others, local=engine.local)
    off, making = starting(topology, observed), missing(topology, observed)
    judged = {node.name: _larger(node, room) for node in making} | {
        "memory": _memory(topology, off, room),
        "disk": _disk(topology, making, room),
        "processors": processors(
            topology, [*others, *(node.role for node in topology.containers)], room
        ),
    }
    return {what: warning for what, warning in judged.items() if warning}


def count_nodes(roles: Iterable[Role]) -> int:
    """Return how many of these machines are Kubernetes' nodes."""
    return sum(role in {Role.MASTER, Role.WORKER} for role in roles)


def others(engine: Engine, name: str) -> list[Role]:
    """Return the roles of all running machines that belong to labs of other names."""
    labs = [lab for other, lab in engine.labs().items() if other != name]
    return [role for lab in labs for role in _running(lab)]


def _running(lab: Observed) -> list[Role]:
    known = {role.value for role in Role}
    labels = [one.labels.get(LABEL_ROLE, "") for one in lab.containers if one.running]
    return [Role(role) for role in labels if role in known]


def _runs(observed: Observed, node: Node) -> bool:
    container = observed.container(node.name)
    return container is not None and container.running


def room_of(info: Mapping[str, Any], others: Iterable[Role], *, local: bool) -> Room:
    """Return what the engine's machine has, also of an engine that does not tell its memory."""
    return look(info, others, local="MemTotal" in info and local)


def look(
    info: Mapping[str, Any], idle: Iterable[Role], *, local: bool, root: Path = Path("/")
) -> Room:
    """Return what the engine's machine has.

    Only the kernel that is this program's own says what is free. Of another one (Docker Desktop's)
    that is what labs leave: `idle` are the roles of machines that run.
    """
    total = int(info.get("MemTotal", 0))
    cpus = int(info.get("NCPU", 0))
    if not local:
        free = max(total - sum(IDLE_BYTES[role] for role in idle), 0)
        return Room(memory=total, free_memory=free, cpus=cpus)
    lines = dict(line.split(":") for line in (root / "proc/meminfo").read_text().splitlines())
    available, swap = (int(lines[key].split()[0]) * 1024 for key in ("MemAvailable", "SwapTotal"))
    limit = _cgroup_limit(root)
    return Room(
        memory=total + swap,
        free_memory=min(available, limit) if limit else available,
        cpus=cpus,
        free_disk=_free_disk(Path(str(info.get("DockerRootDir", "/")))),
        sure=True,
    )


def _cgroup_limit(root: Path) -> int:
    for file in CGROUP_LIMITS:
        path = root / "sys/fs/cgroup" / file
        text = path.read_text().strip() if path.exists() else ""
        if text.isdigit():
            return int(text)
    return 0


def _free_disk(folder: Path) -> int:
    """Return what is free where a folder is, or will be; 0 if that is not this user's to know."""
    try:
        there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
        return shutil.disk_usage(there).free
    except OSError:
        return 0


def _bytes(nodes: Iterable[Node], each: Mapping[Role, int]) -> int:
    """Return the bytes that machines take together, none of them more than its limit."""
    return sum(min(each[node.role], node.size.memory or each[node.role]) for node in nodes)


def _check_limits(topology: Topology, info: Mapping[str, Any]) -> None:
    """Refuse limits that the engine would drop with no more than a line in its log."""
    limits = {
        "memory": ("MemoryLimit", any(node.size.memory for node in topology.nodes)),
        "cpus": ("CpuCfsQuota", any(node.size.millicpus for node in topology.nodes)),
    }
    for key, (ability, asked) in limits.items():
        if asked and not info.get(ability, True):
            hint = "take it out of the topology, or give the kernel that controller of cgroups"
            raise InputError(f"this engine cannot limit `{key}` of a node", hint)


def memory_needs(off: Iterable[Node]) -> tuple[int, int]:
    """Return the bytes without which machines do not run, and those that will do, with a rest."""
    machines = tuple(off)
    return _bytes(machines, IDLE_BYTES), _bytes(machines, USUAL_BYTES) + SPARE_BYTES


def memory_suffices(least: int, room: Room) -> bool:
    """Whether machines may run at all. Of another kernel's memory nobody can say that they do not.

    `halab start` refuses a lab otherwise, and `halab doctor` says `failed`.
    """
    return not (room.sure and 0 < room.memory < least)


def disk_need(making: Iterable[Node], distributions: Iterable[str]) -> int:
    """Return the bytes that new machines write, by the distribution that writes least."""
    machines = tuple(making)
    nodes = count_nodes(node.role for node in machines)
    each = min(NODE_BYTES[name] for name in distributions)
    return nodes * each + (len(machines) - nodes) * BESIDE_BYTES


def disk_suffices(need: int, room: Room) -> bool:
    """Whether new machines may fit; see `memory_suffices`. Half of `need` is what nobody saves."""
    return not room.free_disk or room.free_disk >= need // 2


def _memory(topology: Topology, off: list[Node], room: Room) -> str:
    if not room.memory or not off:
        return ""
    least, need = memory_needs(off)
    if not memory_suffices(least, room):
        raise LabError(
            f"lab {topology.name} needs {spell(least)} of memory when idle,"
            f" the engine's machine has {spell(room.memory)}, swap included; nothing was changed",
            "take a smaller topology (1m1w), or a larger machine",
        )
    if room.free_memory >= need:
        return ""
    return (
        f"{spell(room.free_memory)} are free, lab {topology.name} needs some {spell(need)}:"
        " if it fails, stop other labs or programs, or take a smaller topology (1m1w)"
    )


def _disk(topology: Topology, making: list[Node], room: Room) -> str:
    """Judge the disk by the distribution that writes least: which one it will be is not known."""
    need = disk_need(making, topology.kubernetes.distributions)
    if not room.free_disk or room.free_disk >= need:
        return ""
    figures = f"{spell(need)} of disk for {len(making)} machines, {spell(room.free_disk)} are free"
    remedy = "`docker system df` shows what takes it, `halab destroy` gives some back"
    if not disk_suffices(need, room):
        raise LabError(f"lab {topology.name} needs {figures}; nothing was changed", remedy)
    return f"a lab writes some {figures}: {remedy}"


def processors(topology: Topology, roles: Iterable[Role], room: Room) -> str:
    """Return a warning if machines of these roles, idle, leave too little; "" if they do not."""
    idle = sum(IDLE_MILLICPUS[role] for role in roles) / 1000
    if not room.cpus or idle <= room.cpus * BUSY:
        return ""
    return (
        f"with lab {topology.name}, idle labs take {idle:.1f} of {room.cpus}; on a busy host"
        " healthy masters may be fenced: raise ha.token, or stop other labs"
    )


def _larger(node: Node, room: Room) -> str:
    """Return a warning about limits of a node above all that there is: they limit nothing."""
    size, whole = node.size, room.memory
    if size.memory > whole > 0:
        return f"may use {spell(size.memory)} of memory, the machine has {spell(whole)}"
    if size.millicpus > room.cpus * 1000 > 0:
        return f"may use {size.millicpus / 1000:g} processors, the machine has {room.cpus}"
    return ""
