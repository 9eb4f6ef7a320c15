"""How long it took until others had taken over.

It fails only where the VIP never answered again: what is too long, an expectation says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lab.analysis.history.failover_phases import PHASES, PROBES, answer, groups_in, look
from lab.analysis.history.series import under
from lab.analysis.verdicts import Figure, Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.analysis.history.events import History
    from lab.analysis.history.failover_phases import FaultGroup, Phase
    from lab.analysis.history.outages import Outages


def figure(history: History, what: str) -> Figure:
    """Return the failover time of a phase, or of the probes under a prefix (`api.lb`): the worst of all fault groups; None where none was seen."""
    seen = look(history)
    return _figure(groups_in(seen), seen.measured, what)


def _figure(rows: Sequence[FaultGroup], measured: dict[str, Outages], what: str) -> Figure:
    found: list[tuple[FaultGroup, Phase]] = []
    never = []
    for group in rows:
        seen = (
            next((phase for phase in group.phases if phase.name == what), None)
            if what in PHASES
            else answer(measured, group, what)
        )
        if seen:
            found.append((group, seen))
        prefixes = PROBES.get(what, (what,))
        gone = [
            row.probe
            for row in measured.values()
            if under(row.probe, prefixes[-1]) and row.spans and row.spans[-1].open
        ]
        if not seen and gone and _interrupted_by(measured, group, gone):
            never.append(f"{', '.join(gone)}: no lasting answer after the fault at {group.t:.2f} s")
    name = f"failover({what})"
    if not found:
        unseen = f"not seen after any fault: {PHASES.get(what, f'{what} was not interrupted')}"
        note = "; ".join(never) or (unseen if rows else "no fault fired")
        return Figure(name, None, "s", note=note)
    group, slowest = max(found, key=lambda pair: pair[1].seconds)
    note = "; ".join(
        [f"after {', '.join(group.faults)} on {', '.join(group.nodes)} at {group.t:.2f} s", *never]
    )
    return Figure(name, slowest.seconds, "s", slowest.resolution, math.inf if never else None, note)


def _interrupted_by(measured: dict[str, Outages], group: FaultGroup, names: list[str]) -> bool:
    """Whether the open outage of one of these probes began between this group and the next."""
    return any(
        group.t <= measured[name].spans[-1].begin + measured[name].resolution < group.limit
        for name in names
    )


class _Failover:
    name = "failover"
    summary = "How long each phase took from the fault to the first good answer; fails if the VIP never answered again."

    def check(self, history: History) -> Verdict:
        looked = look(history)
        rows = groups_in(looked)
        measured = {name: row for name, row in looked.measured.items() if under(name, "api.vip")}
        bad = [
            f"{name}: no lasting answer after {', '.join(group.faults)} on {', '.join(group.nodes)} at {group.t:.2f} s"
            for group in rows
            for name, row in measured.items()
            if row.open and _interrupted_by(measured, group, [name])
        ]
        unsure = [row.trouble or row.blind for row in measured.values() if row.trouble or row.blind]
        if not rows:
            unsure.append("no fault fired: nothing to fail over from")
        if not measured:
            unsure.append("nobody asked the API through the VIP (no probe api.vip)")
        good = []
        for group in rows:
            told = (
                ", ".join(f"{phase.name} {phase.seconds:.3f} s" for phase in group.phases)
                or "nothing changed"
            )
            left = f"; not seen: {', '.join(group.missing)}" if group.missing else ""
            good.append(
                f"{', '.join(group.faults)} on {', '.join(group.nodes)} at {group.t:.2f} s: {told}{left}"
            )
        seen = {phase.name for group in rows for phase in group.phases}
        return verdict(
            self.name,
            bad,
            unsure,
            good,
            [_figure(rows, looked.measured, name) for name in PHASES if name in seen],
        )


CHECKER = _Failover()
