"""Which masters were fenced, and whether the host was the reason. Pure text.

Pacemaker calls an alert agent on every master that hears of a fencing (Pacemaker Explained,
Alerts). Ours notes the host's load in the machine's journal, to be read later; until then it costs
nothing. /proc/loadavg shows the host's load inside containers, too.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.engine.files import File

if TYPE_CHECKING:
    from collections.abc import Iterable

IDENTIFIER = "halab-fenced"
AGENT = f"/usr/local/sbin/{IDENTIFIER}"
ALERT = (
    f'<alerts><alert id="{IDENTIFIER}" path="{AGENT}">'
    "<select><select_fencing/></select></alert></alerts>"
)
"""The alert agent's entry in the CIB: it hears of fencings only."""
PROGRAM = f"""#!/bin/sh
# Called by Pacemaker: who was fenced, and how busy the host was.
[ "$CRM_alert_kind" = fencing ] && [ "$CRM_alert_rc" = 0 ] || exit 0
read -r load rest </proc/loadavg
logger -t {IDENTIFIER} "fenced $CRM_alert_node at $(date +%s), load $load on $(nproc)"
"""
RECENT_S = 3600
"""Older fencings are history, which `halab logs` and Pacemaker itself show."""
ASK = f"journalctl -q --no-pager -t {IDENTIFIER} -o cat -n 20 --since=-{RECENT_S}s"
"""The command that a master is asked; without a journal it prints nothing."""
BUSY = 8.0
"""The load per processor from which the host may be the reason.

Two processors with a lab and eight endless loops had a load of 10 to 20, and no token was late.
With a second lab's start beside them the load was 70, and tokens were lost (both measured, without
real time).
"""
SAME_S = 30
"""Masters hear of one fencing within a second or two; a machine fenced twice boots in between."""
_LINE = re.compile(
    r"fenced (?P<node>\S+) at (?P<at>\d+), load (?P<load>[\d.]+) on (?P<processors>\d+)"
)


@dataclass(frozen=True, slots=True)
class Fencing:
    """One fencing, as a master noted it."""

    node: str
    at: int
    """POSIX time."""
    load: float
    """The host's, over the last minute."""
    processors: int
    host_busy: bool
    """Whether the load was high enough to be the reason."""
    faults: tuple[str, ...] = ()
    """What halab itself broke in the lab at that moment: `crash at m2`."""

    def sentence(self) -> str:
        """Return the fencing as a sentence for people, with the local time."""
        clock = time.strftime("%H:%M:%S", time.localtime(self.at))
        load = f"the host's load was {self.load:.0f} on {self.processors} processors"
        if self.faults:
            return f"{self.node} was fenced at {clock}, during {', '.join(self.faults)}; {load}"
        why = f"token late; {load}, which may be the reason" if self.host_busy else load
        return f"{self.node} was fenced at {clock}: {why}"


def file() -> File:
    """Return the alert agent's program, which Pacemaker calls."""
    return File(path=AGENT, content=PROGRAM.encode(), mode=0o755)


def alerts(output: str) -> list[Fencing]:
    """Read what a master noted; other lines of the output are left out."""
    fencings = []
    for line in output.splitlines():
        if row := _LINE.fullmatch(line.strip()):
            load, processors = float(row["load"]), int(row["processors"])
            busy = load >= BUSY * processors
            fencings.append(Fencing(row["node"], int(row["at"]), load, processors, host_busy=busy))
    return fencings


def merged(noted: Iterable[Fencing]) -> tuple[Fencing, ...]:
    """Return each fencing once, as the first master to hear of it noted it; the oldest first."""
    kept: list[Fencing] = []
    for fencing in sorted(noted, key=lambda fencing: fencing.at):
        same = (fencing.node == other.node and fencing.at - other.at < SAME_S for other in kept)
        if not any(same):
            kept.append(fencing)
    return tuple(kept)
