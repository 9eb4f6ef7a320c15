"""Who was fenced, and whether the host was the reason: noted as it happens, read later. Pure text.

Pacemaker calls an alert agent on every master that hears of a fencing (Pacemaker Explained,
Alerts). Ours notes the host's load in the machine's journal: it costs nothing until then. What
/proc/loadavg says is the host's, in containers, too.
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
"""For the CIB: of fencings alone."""
PROGRAM = f"""#!/bin/sh
# Called by Pacemaker: who was fenced, and how busy the host was.
[ "$CRM_alert_kind" = fencing ] && [ "$CRM_alert_rc" = 0 ] || exit 0
read -r load rest </proc/loadavg
logger -t {IDENTIFIER} "fenced $CRM_alert_node at $(date +%s), load $load on $(nproc)"
"""
RECENT_S = 3600
"""Older ones are history, told by `halab logs` and by Pacemaker itself."""
ASK = f"journalctl -q --no-pager -t {IDENTIFIER} -o cat -n 20 --since=-{RECENT_S}s"
"""What a master is asked; without a journal it says nothing."""
BUSY = 8.0
"""Load for each processor from which the host may be the reason.

Two processors, a lab and eight endless loops have 10 to 20, and no token was late; with a second
lab's start beside them they had 70, and tokens were lost (both measured, without real time).
"""
SAME_S = 30
"""Masters hear of one fencing within a second or two; a machine fenced twice boots in between."""
_LINE = re.compile(
    r"fenced (?P<node>\S+) at (?P<at>\d+), load (?P<load>[\d.]+) on (?P<processors>\d+)"
)


@dataclass(frozen=True, slots=True)
class Fencing:
    """One: `at` is POSIX time, `load` the host's over the last minute."""

    node: str
    at: int
    load: float
    processors: int
    host_busy: bool

    def told(self) -> str:
        """Say it in a sentence."""
        clock = time.strftime("%H:%M:%S", time.localtime(self.at))
        load = f"the host's load was {self.load:.0f} on {self.processors} processors"
        why = f"token late; {load}, which may be the reason" if self.host_busy else load
        return f"{self.node} was fenced at {clock}: {why}"


def file() -> File:
    """Return the alert agent."""
    return File(path=AGENT, content=PROGRAM.encode(), mode=0o755)


def alerts(output: str) -> list[Fencing]:
    """Read what a master noted, other lines left out."""
    found = []
    for line in output.splitlines():
        if row := _LINE.fullmatch(line.strip()):
            load, processors = float(row["load"]), int(row["processors"])
            busy = load >= BUSY * processors
            found.append(Fencing(row["node"], int(row["at"]), load, processors, host_busy=busy))
    return found


def merged(found: Iterable[Fencing]) -> tuple[Fencing, ...]:
    """Return each fencing once, as the first that heard of it noted it; the oldest first."""
    kept: list[Fencing] = []
    for one in sorted(found, key=lambda fencing: fencing.at):
        if not any(one.node == other.node and one.at - other.at < SAME_S for other in kept):
            kept.append(one)
    return tuple(kept)
