"""The fault of a narrow way out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.chaos import qdisc
from lab.chaos.fault import Base, same_life

if TYPE_CHECKING:
    from lab.chaos.fault import Site
    from lab.live.active_faults import Hit, Options

RATE = "tbf rate {rate} burst 16kb latency 400ms"


@dataclass(frozen=True)
class Rate(Base):
    """A narrow way out, by the queueing discipline tbf: what does not fit waits, then is lost."""

    name: str = "rate"
    summary: str = "limit what a node sends (--set rate=1mbit)"
    options: Options = field(default_factory=lambda: {"rate": "1mbit"})
    needs: str = "tbf in the kernel"

    def lacks(self, site: Site) -> str:
        """Some kernels lack it."""
        return qdisc.lacks(site, "tbf", RATE.format(rate="1mbit"))

    def check(self, site: Site, options: Options) -> str:
        """A rate as tc knows it; one discipline at a time."""
        if not re.fullmatch(r"\d+(\.\d+)?[kmg]?bit", options["rate"]):
            return f"rate={options['rate']}: for example 500kbit, 1mbit"
        return qdisc.taken(site)

    def inject(self, site: Site, hit: Hit) -> None:
        """Put it in place of the one that was there."""
        qdisc.put(site, RATE.format(**hit.options))

    def proof(self, site: Site, hit: Hit) -> str:
        """Packets went through it."""
        del hit
        return qdisc.proof(site)

    def heal(self, site: Site, hit: Hit) -> None:
        """The kernel's own discipline comes back."""
        if same_life(site, hit):
            qdisc.remove(site)


FAULTS = (Rate(),)
