"""A wrong clock, for one service of a machine.

The host's clock, which all containers share, is never touched.

Linux knows no time of day per container. But a program does not ask the kernel for the time: it
calls a function that the kernel has mapped into it (the vDSO). halab-skew overwrites that function
in the memory of the service's main process, which it stops for some milliseconds; the new function
asks the kernel and adds the skew. Monotonic clocks, and so time-outs, stay true. A service that is
restarted has the true time again. The evidence is what the service itself says: the date in its
HTTP answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from lab.base import durations
from lab.base.errors import FaultError
from lab.chaos import node_program
from lab.chaos.fault import Base, same_life
from lab.chaos.faults.service import unit
from lab.chaos.script import Script

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

PROGRAM = "halab-skew"
ASK = {
    "etcd": "http://127.0.0.1:2381/health",
    "kube-apiserver": "https://127.0.0.1:6443/",
    "kube-controller-manager": "https://127.0.0.1:10257/healthz",
    "kube-scheduler": "https://127.0.0.1:10259/healthz",
    "kubelet": "http://127.0.0.1:10248/healthz",
    "kube-proxy": "http://127.0.0.1:10249/healthz",
    "k3s": "https://127.0.0.1:6443/",
    "k3s-agent": "http://127.0.0.1:10248/healthz",
}
"""Unit → the URL at which it answers, with its date."""
UNITS = ("s", "m", "h")
ROUNDED_S = 2
"""A program says its time in whole seconds, and is asked some tenths of a second later."""
LEAST_S = 5
"""An answer's date has a resolution of one second."""
MOST_S = 10 * 365 * 86400
"""Ten years: longer than any certificate of a lab."""

DATES = Script(
    "ask-date",
    """
date +%s
curl -sk --max-time 2 -o /dev/null -D - "$1" | grep -i ^date:
""",
)
"""Shows the machine's time, then a service's."""


def seconds(text: str) -> int | None:
    """Return a skew like +60s, -5m or 24h in seconds; None if the text is none."""
    unsigned = text[1:] if text.startswith(("+", "-")) else text
    amount = durations.milliseconds(unsigned, UNITS)
    if amount is None or amount % 1000:
        return None
    whole = int(amount) // 1000
    return -whole if text.startswith("-") else whole


@dataclass(frozen=True)
class ClockSkew(Base):
    """One service lives in another time."""

    name: str = "clock-skew"
    summary: str = (
        "let one service believe in another time of day (--set unit=kube-apiserver --set by=+60s)"
    )
    options: Options = field(default_factory=lambda: {"unit": "kube-apiserver", "by": "+60s"})
    needs: str = "amd64, and memory of processes that root may write"

    def missing(self, site: FaultSite) -> str:
        """Try it on a process made for that."""
        missing = node_program.missing(site, PROGRAM)
        attempt = site.node.run([PROGRAM, "--try"], check=False)
        if missing or attempt.code == 0:
            return missing
        return attempt.output.strip().removeprefix(f"{PROGRAM}: ")

    def check(self, site: FaultSite, options: Options) -> str:
        """It takes a skew, and a service that runs and says what time it believes in."""
        by = seconds(options["by"])
        if by is None or not LEAST_S <= abs(by) <= MOST_S:
            return (
                f"by={options['by']}: like +60s, -5m or 24h; "
                f"{LEAST_S} s at least, ten years at most"
            )
        name = unit(site, options["unit"])
        if name not in ASK:
            return (
                f"{name} does not say what time it believes in, so it could not be shown; "
                f"possible are {', '.join(ASK)}"
            )
        if site.node.run(["systemctl", "is-active", name], check=False).output.strip() != "active":
            return f"{name} does not run on {site.node.name}"
        return self._unfit(site, name)

    def _unfit(self, site: FaultSite, name: str) -> str:
        """Return why the time that a service believes in is no ground for a skew."""
        off = self._off(site, name)
        if off is None:
            return f"{name} does not answer at {ASK[name]}"
        if abs(off) < LEAST_S:
            return ""
        return f"{name} on {site.node.name} is {off} s off already: heal that first"

    def _off(self, site: FaultSite, name: str) -> int | None:
        """Return how many seconds a service is ahead of the machine; None without an answer."""
        output = DATES.run(site.node, ASK[name], check=False).output
        dates = re.search(r"^(\d+)\s+date: (.*GMT)", output, re.IGNORECASE)
        return round(parsedate_to_datetime(dates[2]).timestamp()) - int(dates[1]) if dates else None

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Note the process."""
        return {"pid": self._pid(site, options)}

    def _pid(self, site: FaultSite, options: Options) -> str:
        ask = ["systemctl", "show", "-P", "MainPID", unit(site, options["unit"])]
        return site.node.run(ask).output.strip()

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Overwrite its function."""
        site.node.run([PROGRAM, "--by", f"{seconds(active.options['by'])}s", active.before["pid"]])

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The service says so itself; a second more or less is the resolution."""
        name, by = unit(site, active.options["unit"]), seconds(active.options["by"]) or 0
        off = self._off(site, name)
        if off is None or abs(off - by) > ROUNDED_S:
            return ""
        return f"{name} on {site.node.name} is {off:+d} s off by its own clock"

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Restore the function; a process of a later start has it."""
        if not same_life(site, active) or self._pid(site, active.options) != active.before["pid"]:
            return
        done = site.node.run([PROGRAM, "--by", "0s", active.before["pid"]], check=False)
        if done.code != 0 and self._pid(site, active.options) == active.before["pid"]:
            raise FaultError(
                f"the clock of {active.options['unit']} on {site.node.name} cannot be set right: "
                f"{done.output.strip()}"
            )


FAULTS = (ClockSkew(),)
