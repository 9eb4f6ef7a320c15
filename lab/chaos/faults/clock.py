"""A clock that is wrong: for one service of a machine.

The host's clock, which all containers share, is never touched.

Linux knows no time of day per container. But a program does not ask the kernel for the time: it
calls a function that the kernel has mapped into it (the vDSO). halab-skew writes over that function
in the memory of the service's main process, which stands still for some milliseconds meanwhile; it
then asks the kernel and adds the skew. Forward-only clocks, and so time-outs, stay true. A service
that is started anew has the true time again. The proof is what the service itself says: the date in
its answers by HTTP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from lab.base.errors import FaultError
from lab.chaos import node_program
from lab.chaos.fault import Base, same_life
from lab.chaos.faults.service import unit

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
"""Unit → where it answers by HTTP, with its date."""
UNITS = {"s": 1, "m": 60, "h": 3600}
ROUNDED_S = 2
"""A program says its time in whole seconds, and is asked some tenths of a second later."""
LEAST_S = 5
"""An answer's date has a resolution of one second."""
MOST_S = 10 * 365 * 86400
"""Ten years: longer than any certificate of a lab."""


def seconds(word: str) -> int | None:
    """Read a skew: +60s, -5m, 24h. Nothing where it is none."""
    found = re.fullmatch(r"([+-]?\d+)(s|m|h)", word)
    return int(found[1]) * UNITS[found[2]] if found else None


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
        tried = site.node.run([PROGRAM, "--try"], check=False)
        return missing or (
            "" if tried.code == 0 else tried.output.strip().removeprefix(f"{PROGRAM}: ")
        )

    def check(self, site: FaultSite, options: Options) -> str:
        """A skew, and a service that runs and says what time it believes in."""
        by = seconds(options["by"])
        if by is None or not LEAST_S <= abs(by) <= MOST_S:
            return f"by={options['by']}: like +60s, -5m or 24h; {LEAST_S} s at least, ten years at most"
        name = unit(site, options["unit"])
        if name not in ASK:
            return f"{name} does not say what time it believes in, so it could not be shown; possible are {', '.join(ASK)}"
        if site.node.run(["systemctl", "is-active", name], check=False).output.strip() != "active":
            return f"{name} does not run on {site.node.name}"
        off = self._off(site, name)
        if off is None:
            return f"{name} does not answer at {ASK[name]}"
        return (
            f"{name} on {site.node.name} is {off} s off already: heal that first"
            if abs(off) >= LEAST_S
            else ""
        )

    def _off(self, site: FaultSite, name: str) -> int | None:
        """Return how many seconds a service is before the machine's clock; nothing where it does not answer."""
        ask = f"date +%s; curl -sk --max-time 2 -o /dev/null -D - {ASK[name]} | grep -i ^date:"
        output = site.node.run(["sh", "-c", ask], check=False).output
        found = re.search(r"^(\d+)\s+date: (.*GMT)", output, re.IGNORECASE)
        return round(parsedate_to_datetime(found[2]).timestamp()) - int(found[1]) if found else None

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Note the process."""
        return {"pid": self._pid(site, options)}

    def _pid(self, site: FaultSite, options: Options) -> str:
        return site.node.run(
            ["systemctl", "show", "-P", "MainPID", unit(site, options["unit"])]
        ).output.strip()

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Write over its function."""
        site.node.run([PROGRAM, "--by", f"{seconds(active.options['by'])}s", active.before["pid"]])

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The service says so itself; a second more or less is the resolution."""
        name, by = unit(site, active.options["unit"]), seconds(active.options["by"]) or 0
        off = self._off(site, name)
        if off is None or abs(off - by) > ROUNDED_S:
            return ""
        return f"{name} on {site.node.name} is {off:+d} s off by its own word"

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Return the function back; a process of a later start has it."""
        if not same_life(site, active) or self._pid(site, active.options) != active.before["pid"]:
            return
        done = site.node.run([PROGRAM, "--by", "0s", active.before["pid"]], check=False)
        if done.code != 0 and self._pid(site, active.options) == active.before["pid"]:
            raise FaultError(
                f"the clock of {active.options['unit']} on {site.node.name} cannot be set right: {done.output.strip()}"
            )


FAULTS = (ClockSkew(),)
