"""Whether the engine's containers may be given real time, on kernels that keep budgets for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.base.errors import LabError
from lab.host.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME = "real time"
CPU = Path("/sys/fs/cgroup/cpu")
"""cgroup v1's controller; cgroup v2 keeps no such budgets."""
FILE = "cpu.rt_runtime_us"
PARENTS = {"cgroupfs": "docker", "systemd": "system.slice"}
"""Where the engine puts containers, by its cgroup driver."""
BUDGET_US = 900_000
"""Of each second and processor, in all: for nine masters (lab/nodes/ha/realtime.py).

The kernel's own is 950000 (sched_rt_runtime_us), of which the host's other cgroups keep some.
"""


def parent(info: Mapping[str, Any]) -> Path:
    """Return the engine's own cgroup."""
    return CPU / PARENTS.get(str(info.get("CgroupDriver", "")), "docker")


def look(info: Mapping[str, Any]) -> list[Finding]:
    """Look at the engine's budget; nothing to say where the kernel keeps none."""
    if not (CPU / FILE).exists():
        return []
    try:
        text = (parent(info) / FILE).read_text()
    except OSError:  # the engine makes its cgroup with the first container
        text = "0"
    return [judged(int(text) if text.strip().lstrip("-").isdigit() else 0)]


def judged(budget: int) -> Finding:
    """Judge the engine's budget."""
    if budget != 0:
        return Finding(NAME, "ok", f"containers may have {budget} µs of each second")
    seen = "the engine's cgroup has no budget; on a busy host Corosync's token comes late"
    return Finding(NAME, "warning", seen, "`halab doctor --fix` as root", fixable=True)


def fix(info: Mapping[str, Any], tell: Callable[[str], None]) -> Finding:
    """Return the engine its budget until the next boot.

    Raises LabError where the kernel refuses.
    """
    place = parent(info)
    tell(f"giving the engine's containers real time: {BUDGET_US} to {place / FILE}")
    try:
        place.mkdir(exist_ok=True)
        (place / FILE).write_text(str(BUDGET_US))
    except OSError as error:
        raise LabError(f"{place / FILE} cannot be set to {BUDGET_US}: {error.strerror}") from error
    return judged(BUDGET_US)
