"""Real-time scheduling for the engine's containers, on kernels that give it out by budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.host import engine_cgroup
from lab.host.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME = "real time"
FILE = "cpu.rt_runtime_us"
BUDGET_US = 900_000
"""Microseconds of each second, on each processor, for all containers together: enough for nine
masters (lab/nodes/ha/realtime.py). The kernel's own budget is 950000 (sched_rt_runtime_us), and the
host's other cgroups keep some of it."""


def look(info: Mapping[str, Any]) -> list[Finding]:
    """Return the finding about the engine's budget; nothing if the kernel has no budgets."""
    if not (engine_cgroup.CPU / FILE).exists():
        return []
    return [judged(engine_cgroup.read(info, FILE, 0))]


def judged(budget: int) -> Finding:
    """Judge the engine's budget, microseconds of each second (-1: no limit)."""
    if budget != 0:
        return Finding(NAME, "ok", f"containers may have {budget} µs of each second")
    detail = "the engine's cgroup has no budget; on a busy host Corosync's token comes late"
    return Finding(NAME, "warning", detail, "`halab doctor --fix` as root", fixable=True)


def fix(info: Mapping[str, Any], tell: Callable[[str], None]) -> Finding:
    """Give the engine its budget until the next boot, and return how things are then.

    Raise LabError if the kernel refuses.
    """
    place = engine_cgroup.path(info) / FILE
    tell(f"giving the engine's containers real time: {BUDGET_US} to {place}")
    engine_cgroup.write(info, FILE, BUDGET_US)
    return judged(BUDGET_US)
