"""The faults of one lab: where they act, what they need, which are active."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import InputError, LabError
from lab.base.suggest import did_you_mean
from lab.chaos import faults, targets
from lab.chaos.fault import FaultSite
from lab.live import active_faults, status

if TYPE_CHECKING:
    from lab.chaos.fault import Fault
    from lab.live.active_faults import ActiveFault, Options
    from lab.live.lab import Lab


def find(name: str) -> Fault:
    """Return a fault by its name. Raises InputError with a suggestion."""
    try:
        return faults.find(name)
    except KeyError as error:
        raise InputError(f"no fault `{name}`", did_you_mean(name, faults.names())) from error


def options_of(fault: Fault, chosen: Options) -> Options:
    """Fill in the defaults. Raises InputError for an option that the fault does not have."""
    unknown = sorted(set(chosen) - set(fault.options))
    if unknown:
        known = ", ".join(fault.options) or "none"
        raise InputError(
            f"fault {fault.name} has no option {', '.join(unknown)}", f"its options: {known}"
        )
    return {**fault.options, **chosen}


@dataclass(frozen=True)
class LabFaults:
    """A lab as the place where faults act."""

    lab: Lab

    def site(self, name: str, group: tuple[str, ...] = ()) -> FaultSite:
        """Return a node as a fault's site; `group`: all nodes that are hit together."""
        others = {
            node.name: self.lab.node(node.name)
            for node in self.lab.topology.machines
            if node.name != name
        }
        return FaultSite(
            self.lab.engine,
            self.lab.topology,
            self.lab.distribution().name,
            self.lab.node(name),
            others,
            group,
        )

    def targets(self, listed: str, seed: int) -> tuple[str, ...]:
        """Return the names of the nodes that a comma-separated list of targets means now."""
        return targets.resolve(listed, self.lab.topology, lambda: status.look(self.lab), seed)

    def active(self) -> tuple[ActiveFault, ...]:
        """Return the active faults, the oldest first."""
        return active_faults.read(
            self.lab.engine, [self.lab.node(node.name) for node in self.lab.topology.machines]
        )

    def missing(self) -> dict[str, str]:
        """Return, for each fault, what the first master and its host lack; empty if nothing.

        A master that does not run lacks everything.
        """
        node = self.lab.topology.masters[0].name
        site = self.site(node)

        def ask(fault: Fault) -> str:
            try:
                return fault.missing(site)
            except LabError as error:
                return f"{node} cannot be asked: {error.message}"

        known = faults.all_faults()
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(known, pool.map(ask, known.values()), strict=True))

    def chosen(self, name: str) -> tuple[ActiveFault, ...]:
        """Return the active faults of that name or id. Raises InputError if there is none."""
        active = self.active()
        chosen = tuple(one for one in active if name in {one.fault, one.id})
        if not chosen:
            on = ", ".join(f"{one.fault} at {one.node} ({one.id})" for one in active) or "none"
            raise InputError(f"no fault `{name}` is on in lab {self.lab.name}", f"on are: {on}")
        return chosen
