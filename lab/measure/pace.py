"""How often probes ask: less often where few processors are idle.

Measuring must not disturb what is measured. On a machine that it fills, the lab's answers are late
because they are asked for, and a report shows outages that nobody else would have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import LabError

if TYPE_CHECKING:
    from lab.engine.node import NodeHandle
    from lab.live.lab import Lab

FULL_CORES = 2.1
"""What all probes and the lab's answers to them cost at full speed (every 20 ms), in processors.
Measured on an upstream 3m3w on two slow ones, with FIXED_CORES beside it: 0.3 at a 16th of the
speed, 0.5 at an eighth, 0.7 at a quarter; half of it was more than the machine had."""
FIXED_CORES = 0.2
"""What the instrument costs at any speed."""
SHARE = 0.75
"""So much of what is idle the probes may use; the rest is for what a fault causes."""
FACTORS = (1.0, 2.0, 4.0)
"""The last one also where nothing is idle: slower probes would show too little."""
STAT = ("sh", "-c", "head -n 1 /proc/stat; sleep 1; head -n 1 /proc/stat")
"""The machine's processor time so far, twice. A container's /proc/stat shows its host's, also where
the engine is not on this machine (proc(5))."""
IDLE = 3
"""The fields of a line count from `user`; these are `idle`, and behind it `iowait`."""
TOTAL = 8
"""`user` to `steal`: what guests use is in `user` already."""
STAT_S = 10.0
"""For one node's answer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many times less often than at best probes ask, and why."""

    factor: float
    why: str = ""

    @property
    def sentence(self) -> str:
        """The note for the user; empty at full speed."""
        if self.factor == 1:
            return ""
        return (
            f"{self.why}: probes ask {self.factor:.0f} times less often, "
            "so that measuring does not disturb the lab"
        )


def of(lab: Lab) -> Pace:
    """Return the pace for the machine that a lab runs on, as busy as it is now. Takes a second."""
    processors = int(lab.engine.info().get("NCPU") or 0)
    idle = processors * _idle_share(lab)
    usable = SHARE * idle - FIXED_CORES
    fitting = (factor for factor in FACTORS if FULL_CORES / factor <= usable)
    return Pace(next(fitting, FACTORS[-1]), f"{idle:.1f} of {processors} processors are idle")


def _idle_share(lab: Lab) -> float:
    """Return the idle share of the machine's processor time just now; 0 if no node answers."""
    for node in lab.topology.nodes:
        try:
            return _idle_share_by(lab.node(node.name))
        except LabError:  # it is off
            continue
    return 0.0


def _idle_share_by(node: NodeHandle) -> float:
    lines = node.run(STAT, timeout_s=STAT_S).output.splitlines()
    before, after = ([int(field) for field in line.split()[1:]] for line in lines)
    spent = [end - begin for begin, end in zip(before, after, strict=True)]
    return sum(spent[IDLE : IDLE + 2]) / max(1, sum(spent[:TOTAL]))
