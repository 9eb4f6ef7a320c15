"""Checker `vip_unique`: two nodes never answer ARP for the VIP at once.

Two holders are what fencing exists to prevent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lab.analysis.history.series import series
from lab.analysis.history.vip_holders import PROBE, holders, overlaps
from lab.analysis.verdicts import Figure, Verdict, verdict

if TYPE_CHECKING:
    from lab.analysis.history.events import History


class _VipUnique:
    name = "vip_unique"
    summary = "At no time did more than one node answer for the VIP."

    def check(self, history: History) -> Verdict:
        arp = series(history, PROBE).get(PROBE)
        if arp is None:
            return verdict(self.name, (), [f"nobody asked who holds the VIP (no probe {PROBE})"])
        spans = overlaps(history)
        unsure = list(filter(None, [arp.trouble(), arp.blind()]))
        if not any(holders(sample) for sample in arp.asked):
            unsure.append("no node ever answered for the VIP")
        who = sorted(
            {" and ".join(holders(sample)) for sample in arp.asked if len(holders(sample)) > 1}
        )
        interval_ms = arp.interval * 1000
        bad = [
            f"more than one node answered for the VIP from {span.begin:.2f} s on for "
            f"{span.seconds * 1000:.0f} ms (±{interval_ms:.0f}): {'; '.join(who)}"
            for span in spans
        ]
        total = sum(span.seconds for span in spans)
        # An overlap that one sample saw lasts one interval: it is never rounded down to nothing.
        value = max(total, arp.interval) if spans else 0.0
        worst = math.inf if unsure else None
        note = "; ".join(unsure)
        figures = [
            Figure("vip_overlap", value, "s", arp.interval, worst, note),
            Figure("vip_overlaps", float(len(spans)), "", 0.0, worst, note),
        ]
        good = f"in {len(arp.asked)} samples, {interval_ms:.0f} ms apart, never two holders at once"
        return verdict(self.name, bad, unsure, [good], figures)


CHECKER = _VipUnique()
