"""Outages of each probe: how many, how long, when.

By itself it fails only for what never came back; how long is too long, an expectation says.
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
    """Return the figures of a probe, or of a group of probes that have a prefix in common: the worst of them counts."""
    rows = tuple(measured)
    seen = [row for row in rows if not row.trouble]
    note = "; ".join(row.trouble or row.blind for row in rows if row.trouble or row.blind)
    if any(row.open for row in seen):
        note = "; ".join(filter(None, ("still out when the samples ended", note)))
    resolution = max((row.resolution for row in seen), default=0.0)

    def figure(name: str, unit: str, values: list[float], worst: list[float]) -> Figure:
        value = max(values, default=None)
        most = math.inf if len(seen) < len(rows) else max(worst, default=math.inf)
        return Figure(
            f"{name}({group})",
            value,
            unit,
            resolution if unit else 0.0,
            most if value is None or most > value else None,
            note,
        )

    times = [span for row in seen for span in row.spans]
    found = [
        figure("outage", "s", [row.longest for row in seen], [row.worst[0] for row in seen]),
        figure(
            "outages", "", [float(len(row.spans)) for row in seen], [row.worst[1] for row in seen]
        ),
        figure("unavailable", "s", [row.total for row in seen], [row.worst[2] for row in seen]),
    ]
    if times:
        found.append(
            Figure(
                f"outage_first({group})",
                min(span.begin for span in times),
                "s",
                resolution,
                note="when the first began",
            )
        )
        found.append(
            Figure(
                f"outage_last({group})",
                max(span.end for span in times),
                "s",
                resolution,
                note="when the last ended",
            )
        )
    return tuple(found)


class _Outage:
    name = "outage"
    summary = "How often and how long each question went unanswered; fails if one was still unanswered at the end."

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
