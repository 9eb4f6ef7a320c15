"""The VIP has one holder: never do two nodes answer ARP for it.

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
        found = series(history, PROBE).get(PROBE)
        if found is None:
            return verdict(self.name, (), [f"nobody asked who holds the VIP (no probe {PROBE})"])
        spans = overlaps(history)
        unsure = list(filter(None, [found.trouble(), found.blind()]))
        if not any(holders(sample) for sample in found.seen):
            unsure.append("no node ever answered for the VIP")
        who = sorted(
            {" and ".join(holders(sample)) for sample in found.seen if len(holders(sample)) > 1}
        )
        bad = [
            f"more than one node answered for the VIP from {span.begin:.2f} s on for {span.seconds * 1000:.0f} ms "
            f"(±{found.interval * 1000:.0f}): {'; '.join(who)}"
            for span in spans
        ]
        total = sum(span.seconds for span in spans)
        # An overlap of one sample is at least that: never rounded down to nothing.
        value = max(total, found.interval) if spans else 0.0
        worst = math.inf if unsure else None
        note = "; ".join(unsure)
        figures = [
            Figure("vip_overlap", value, "s", found.interval, worst, note),
            Figure("vip_overlaps", float(len(spans)), "", 0.0, worst, note),
        ]
        seen = len(found.seen)
        return verdict(
            self.name,
            bad,
            unsure,
            [f"in {seen} samples, {found.interval * 1000:.0f} ms apart, never two holders at once"],
            figures,
        )


CHECKER = _VipUnique()
