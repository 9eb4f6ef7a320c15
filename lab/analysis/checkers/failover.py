"""Checker `failover`: how long it took, after each fault, until others had taken over.

It fails only if the VIP never answered again. How long is too long, an expectation says.
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
    """Return a failover time in seconds: the slowest over all fault groups.

    `what` is a phase, or a prefix of probes (`api.lb`). The figure has no value if the end was
    never seen.
    """
    run = look(history)
    return _figure(groups_in(run), run.measured, what)


def _figure(groups: Sequence[FaultGroup], measured: dict[str, Outages], what: str) -> Figure:
    ends: list[tuple[FaultGroup, Phase]] = []
    never = []
    for group in groups:
        end = (
            next((phase for phase in group.phases if phase.name == what), None)
            if what in PHASES
            else answer(measured, group, what)
        )
        if end:
            ends.append((group, end))
        prefixes = PROBES.get(what, (what,))
        gone = [
            row.probe
            for row in measured.values()
            if under(row.probe, prefixes[-1]) and row.spans and row.spans[-1].open
        ]
        if not end and gone and _interrupted_by(measured, group, gone):
            never.append(f"{', '.join(gone)}: no lasting answer after the fault at {group.t:.2f} s")
    name = f"failover({what})"
    if not ends:
        unseen = f"not seen after any fault: {PHASES.get(what, f'{what} was not interrupted')}"
        note = "; ".join(never) or (unseen if groups else "no fault fired")
        return Figure(name, None, "s", note=note)
    group, slowest = max(ends, key=lambda pair: pair[1].seconds)
    note = "; ".join([f"after {_named(group)}", *never])
    return Figure(name, slowest.seconds, "s", slowest.resolution, math.inf if never else None, note)


def _named(group: FaultGroup) -> str:
    return f"{', '.join(group.faults)} on {', '.join(group.nodes)} at {group.t:.2f} s"


def _interrupted_by(measured: dict[str, Outages], group: FaultGroup, names: list[str]) -> bool:
    """Whether one of these probes has an open outage that began between this group and the next."""
    return any(
        group.t <= measured[name].spans[-1].begin + measured[name].resolution < group.limit
        for name in names
    )


class _Failover:
    name = "failover"
    summary = (
        "How long each phase took from the fault to the first good answer; fails if the VIP never "
        "answered again."
    )

    def check(self, history: History) -> Verdict:
        run = look(history)
        groups = groups_in(run)
        measured = {name: row for name, row in run.measured.items() if under(name, "api.vip")}
        bad = [
            f"{name}: no lasting answer after {_named(group)}"
            for group in groups
            for name, row in measured.items()
            if row.open and _interrupted_by(measured, group, [name])
        ]
        unsure = [row.trouble or row.blind for row in measured.values() if row.trouble or row.blind]
        if not groups:
            unsure.append("no fault fired: nothing to fail over from")
        if not measured:
            unsure.append("nobody asked the API through the VIP (no probe api.vip)")
        good = []
        for group in groups:
            phases = (
                ", ".join(f"{phase.name} {phase.seconds:.3f} s" for phase in group.phases)
                or "nothing changed"
            )
            missing = f"; not seen: {', '.join(group.missing)}" if group.missing else ""
            good.append(f"{_named(group)}: {phases}{missing}")
        ended = {phase.name for group in groups for phase in group.phases}
        return verdict(
            self.name,
            bad,
            unsure,
            good,
            [_figure(groups, run.measured, name) for name in PHASES if name in ended],
        )


CHECKER = _Failover()
