"""The weight of the engine's containers against the host's other programs.

With cgroup v1 and the engine's `cgroupfs` driver, all containers together are one competitor,
and every program that is in no cgroup of its own is another, of the same weight. Eight busy
programs then leave a whole lab a ninth of the processors, whatever its nodes' own weights are.
With systemd the host's programs share slices, and the engine's slice gets its half: nothing is
to be done there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.host import engine_cgroup
from lab.host.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME = "CPU weight"
FILE = "cpu.shares"
DEFAULT_SHARES = 1024
"""The kernel's: of a new cgroup, and of one program at niceness 0 outside of cgroups."""
SHARES = 16 * DEFAULT_SHARES
"""As sixteen busy programs: an idle lab (a third of a core) gets all it asks for beside any
build, and one that starts leaves a build a fair part."""


def look(info: Mapping[str, Any]) -> list[Finding]:
    """Return the finding about the engine's weight; nothing where it has no such competitors."""
    if info.get("CgroupDriver") != "cgroupfs" or not (engine_cgroup.CPU / FILE).exists():
        return []
    return [judged(engine_cgroup.read(info, FILE, DEFAULT_SHARES))]


def judged(shares: int) -> Finding:
    """Return the finding about a weight of `shares`."""
    if shares > DEFAULT_SHARES:
        return Finding(NAME, "ok", f"containers weigh {shares / DEFAULT_SHARES:g} programs")
    problem = "all containers together weigh as much as one busy program of the host"
    return Finding(NAME, "warning", problem, "`halab doctor --fix` as root", fixable=True)


def fix(info: Mapping[str, Any], tell: Callable[[str], None]) -> Finding:
    """Raise the weight of the engine's cgroup until the next boot; return the new finding.

    Raises LabError where the kernel refuses.
    """
    place = engine_cgroup.path(info) / FILE
    tell(f"giving the engine's containers the weight of 16 programs: {SHARES} to {place}")
    engine_cgroup.write(info, FILE, SHARES)
    return judged(SHARES)
