"""Checker `outage`: how many outages each probe had, how long, and when.

It fails only for a probe that never came back. How long is too long, an expectation says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lab.analysis.history.outages import Outages, measure
from lab.analysis.verdicts import Figure, Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.analysis.history.events import History


def figures(group: str, measured: Iterable[Outages]) -> tuple[Figure, ...]:
    """Return the figures of a probe, or of all probes under a prefix: the worst of them counts.

    `group` is the probe's name or the prefix; `measured` are their outages.
    """
    rows = tuple(measured)
    usable = [row for row in rows if not row.trouble]
    note = "; ".join(row.trouble or row.blind for row in rows if row.trouble or row.blind)
    if any(row.open for row in usable):
        note = "; ".join(filter(None, ("still out when the samples ended", note)))
    resolution = max((row.resolution for row in usable), default=0.0)

    def figure(name: str, unit: str, values: list[float], worst: list[float]) -> Figure:
        value = max(values, default=None)
        most = math.inf if len(usable) < len(rows) else max(worst, default=math.inf)
        return Figure(
            f"{name}({group})",
            value,
            unit,
            resolution if unit else 0.0,
            most if value is None or most > value else None,
            note,
        )

    counts = [float(len(row.spans)) for row in usable]
    worst_longest, worst_counts, worst_totals = (
        [row.worst[index] for row in usable] for index in range(3)
    )
    result = [
        figure("outage", "s", [row.longest for row in usable], worst_longest),
        figure("outages", "", counts, worst_counts),
        figure("unavailable", "s", [row.total for row in usable], worst_totals),
    ]
    spans = [span for row in usable for span in row.spans]
    if spans:
        first, last = min(span.begin for span in spans), max(span.end for span in spans)
        result += [
            Figure(f"outage_first({group})", first, "s", resolution, note="when the first began"),
            Figure(f"outage_last({group})", last, "s", resolution, note="when the last ended"),
        ]
    return tuple(result)


class _Outage:
    name = "outage"
    summary = (
        "How often and how long each question went unanswered; fails if one was still unanswered "
        "at the end."
    )

    def check(self, history: History) -> Verdict:
        measured = measure(history)
        bad = [
            f"{row.probe} was still out when the samples ended, since {row.spans[-1].begin:.2f} s"
            for row in measured.values()
            if row.open
        ]
        unsure = [row.trouble or row.blind for row in measured.values() if row.trouble or row.blind]
        if not measured:
            unsure.append("no probe asked anything")
        out = sum(bool(row.spans) for row in measured.values())
        good = [
            f"{out} of {len(measured)} probes had an outage, and all came back"
            if out
            else f"none of {len(measured)} probes had an outage"
        ]
        return verdict(
            self.name,
            bad,
            unsure,
            good,
            [figure for name, row in measured.items() for figure in figures(name, [row])],
        )


CHECKER = _Outage()
