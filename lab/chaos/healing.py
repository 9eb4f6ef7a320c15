"""Healing a lab: faults are undone by their records alone, by any process, as often as needed."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from lab.base.errors import HealFailed, LabError, WaitTimeout
from lab.base.parallel import attempt_all, raise_together
from lab.base.wait import tried, until
from lab.chaos import faults as catalog
from lab.live import active_faults
from lab.nodes.ha.membership import Settling, quiet_s, refresh_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.chaos.fault import FaultSite
    from lab.chaos.lab_faults import LabFaults
    from lab.live.active_faults import ActiveFault

REJOIN_S = 180
"""A rebooted master is a member after some ten seconds, and may be fenced once before that.

A busy host takes several times as long.
"""
FENCING_OFF = "fencing-off"
HEAL_TRIES = 3
"""The others may fence a machine while it is being healed: then it is powered on and healed
again."""
HEAL_AGAIN_S = 0.5
ALIVE_S = 60
"""How long masters that were frozen or cut off may take to show up before fencing is turned on.

Those that are still silent then are fenced.
"""


@dataclass(frozen=True)
class Healer:
    """Heals a lab's active faults."""

    faults: LabFaults
    again_s: float = HEAL_AGAIN_S
    """The pause before another try."""

    def heal(self, active: Iterable[ActiveFault] | None = None) -> tuple[ActiveFault, ...]:
        """Heal these faults, or all that are active; the newest of a node first.

        Raises HealFailed (or ApplyError with several) after all were tried.
        """
        chosen = tuple(self.faults.active() if active is None else active)
        last = [one for one in chosen if one.fault == FENCING_OFF]
        errors = self._heal_all([one for one in chosen if one not in last])
        if last:
            # A master that is still silent when fencing comes back on would be fenced at once,
            # even if it was just unfrozen. Fencing comes back on after a time-out, too: `rejoin`
            # handles those that are fenced then.
            with suppress(WaitTimeout):
                self._settle(last, ALIVE_S)
            errors += self._heal_all(last)
        raise_together(errors)
        return chosen

    def _heal_all(self, active: list[ActiveFault]) -> list[BaseException]:
        by_node: dict[str, list[ActiveFault]] = {}
        for one in sorted(active, key=lambda one: -one.since):
            by_node.setdefault(one.node, []).append(one)
        failed, bugs = attempt_all(
            [partial(self._heal_node, node, of_node) for node, of_node in by_node.items()]
        )
        return [*bugs, *(error for errors in failed for error in errors)]

    def _heal_node(self, node: str, active: list[ActiveFault]) -> list[LabError]:
        site = self.faults.site(node)
        # A frozen or dead machine can run no command: what wakes it comes first, whatever its age.
        first = {name for name, fault in catalog.all_faults().items() if fault.heals_first}
        left = sorted(active, key=lambda one: one.fault not in first)
        errors: list[LabError] = []
        for again in range(HEAL_TRIES):
            if again:
                time.sleep(self.again_s)
            healed, errors = self._heal_once(site, left)
            try:
                self._power_on(site, left)
                active_faults.clear(site.engine, site.node, healed)
                left = [one for one in left if one not in healed]
            except LabError as error:
                errors.append(error)
            if not errors:
                break
        return errors

    def _heal_once(
        self, site: FaultSite, left: list[ActiveFault]
    ) -> tuple[list[ActiveFault], list[LabError]]:
        """Try each fault once; return those that are healed, and the others' errors."""
        healed: list[ActiveFault] = []
        errors: list[LabError] = []
        for active in left:
            failure = self._heal_one(site, active)
            if failure is None:
                healed.append(active)
            else:
                errors.append(failure)
        return healed, errors

    def _heal_one(self, site: FaultSite, active: ActiveFault) -> HealFailed | None:
        failed = f"{active.fault} on {site.node.name} could not be healed:"
        again = f"`halab fault heal {self.faults.lab.name}`"
        if active.fault not in catalog.names():
            return HealFailed(
                f"{failed} this halab knows no such fault",
                f"the halab that injected it heals it: {again} there",
            )
        fault = catalog.find(active.fault)
        # The record of an older halab lacks options that were added since.
        complete = replace(active, options={**fault.options, **active.options})
        try:
            fault.heal(site, complete)
        except LabError as error:
            return HealFailed(f"{failed} {error}", f"{again} tries again")
        except (KeyError, ValueError) as error:
            why = f"its record lacks what healing needs ({error})"
            return HealFailed(f"{failed} {why}", f"{again} tries again")
        return None

    def _power_on(self, site: FaultSite, left: list[ActiveFault]) -> None:
        """Power on a machine that was fenced while the fault was active.

        Not if another active fault keeps it off. Whether it runs is asked first: reading a node's
        records takes ten times as long.
        """
        if site.node.running:
            return
        active = {one.id for one in active_faults.read(site.engine, [site.node])}
        if active <= {one.id for one in left}:
            site.engine.start(site.node.container)

    def rejoin(
        self, healed: Iterable[ActiveFault], on_change: Callable[[str], None] = lambda _: None
    ) -> None:
        """Wait until the masters are one cluster again, if any of them was hit.

        Masters that are fenced meanwhile are powered on. `on_change` is called with what is
        awaited. Returns at once if there is no quorum to judge by, or if other faults are active on
        masters. Raises WaitTimeout.
        """
        names = {node.name for node in self.faults.lab.topology.masters}
        mine = [one for one in healed if one.node in names]
        if not mine or not self._settle(mine, REJOIN_S, on_change):
            return
        lab = self.faults.lab
        for name in {one.node for one in mine}:
            # It may have been off when its records were cleared.
            active_faults.clear(lab.engine, lab.node(name), ())
        masters = (lab.node(name) for name in sorted(names))
        refresh_attributes(next(master for master in masters if master.running))

    def _settle(
        self,
        healed: list[ActiveFault],
        timeout_s: float,
        on_change: Callable[[str], None] = lambda _: None,
    ) -> bool:
        lab = self.faults.lab
        masters = tuple(lab.node(node.name) for node in lab.topology.masters)
        names = {node.name for node in masters}
        others = [
            one for one in self.faults.active() if one.node in names and one.fault != FENCING_OFF
        ]
        # The master that turned fencing off need not be one that must be back.
        awaited = {one.node for one in healed if one.fault != FENCING_OFF}
        # Those that were hit may all be off at this moment: fenced since they were healed.
        counted = awaited | {node.name for node in masters if node.running}
        if others or len(counted) <= len(masters) // 2:
            return False
        settling = Settling(
            masters, quiet_s(lab.topology.ha.token_ms), min(one.since for one in healed), awaited
        )
        try:
            until(
                "the masters are one cluster again",
                lambda: tried(settling.advance),
                timeout_s=timeout_s,
                on_change=on_change,
            )
        except WaitTimeout as error:
            hint = (
                f"`halab status {lab.name}` shows more; "
                f"`halab start {lab.name}` powers on what is off"
            )
            raise WaitTimeout(error.what, error.seconds, error.last, hint) from error
        return True
