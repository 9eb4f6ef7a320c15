"""The fault of a slow network interface."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.chaos import qdisc
from lab.chaos.fault import Base, same_life

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

RATE = "tbf rate {rate} burst 16kb latency 400ms"


@dataclass(frozen=True)
class Rate(Base):
    """A limited rate, by the queueing discipline tbf: what exceeds it waits, and then is lost."""

    name: str = "rate"
    summary: str = "limit what a node sends (--set rate=1mbit)"
    options: Options = field(default_factory=lambda: {"rate": "1mbit"})
    needs: str = "tbf in the kernel"

    def missing(self, site: FaultSite) -> str:
        """Some kernels lack it."""
        return qdisc.missing(site, "tbf", RATE.format(rate="1mbit"))

    def check(self, site: FaultSite, options: Options) -> str:
        """It takes a rate as tc knows it; one discipline at a time."""
        if not re.fullmatch(r"\d+(\.\d+)?[kmg]?bit", options["rate"]):
            return f"rate={options['rate']}: for example 500kbit, 1mbit"
        return qdisc.taken(site)

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Put it in place of the discipline that was there."""
        qdisc.put(site, RATE.format(**active.options))

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """Packets went through it."""
        del active
        return qdisc.evidence(site)

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """The kernel's own discipline comes back."""
        if same_life(site, active):
            qdisc.remove(site)


FAULTS = (Rate(),)
