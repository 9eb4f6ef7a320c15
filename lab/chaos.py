"""Breaking a lab and mending it: targets are resolved, records laid down first, effects proven, healing owes nothing to memory."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab import faults, status, targets
from lab.errors import ApplyError, FaultError, HealFailed, InputError, LabError
from lab.faults import Hit, Site, record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.faults import Fault, Options
    from lab.lab import Lab

PROOF_S = 5.0
"""For the first packet to be dropped, the first tick to be throttled: a lab is never silent that long."""
PROOF_EVERY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What an injection did: where, what shows it, and the seconds from firing to that proof."""

    hit: Hit
    proof: str
    seconds: float


def options_of(fault: Fault, given: dict[str, str]) -> Options:
    """Fill in the defaults. Raises InputError for an option that the fault does not know."""
    unknown = sorted(set(given) - set(fault.options))
    if unknown:
        known = ", ".join(fault.options) or "none"
        raise InputError(f"fault {fault.name} has no option {', '.join(unknown)}", f"its options: {known}")
    return {**fault.options, **given}


def find(name: str) -> Fault:
    """Give a fault by name. Raises InputError with a proposal."""
    import difflib

    try:
        return faults.find(name)
    except KeyError as error:
        close = difflib.get_close_matches(name, faults.names(), n=1)
        raise InputError(f"no fault `{name}`", f"did you mean `{close[0]}`?" if close else "`halab fault list` lists them") from error


@dataclass(frozen=True)
class Chaos:
    """A lab's faults."""

    lab: Lab

    def site(self, name: str) -> Site:
        """Give the place of a node."""
        others = {node.name: self.lab.node(node.name) for node in self.lab.topology.machines if node.name != name}
        return Site(self.lab.engine, self.lab.topology, self.lab.distribution().name, self.lab.node(name), others)

    def targets(self, word: str, seed: int) -> tuple[str, ...]:
        """Give the nodes that a word means now."""
        return targets.resolve(word, self.lab.topology, lambda: status.look(self.lab), seed)

    def active(self) -> tuple[Hit, ...]:
        """Give the faults that are on, the oldest first."""
        return record.read(self.lab.engine, [self.lab.node(node.name) for node in self.lab.topology.machines])

    def inject(self, name: str, nodes: Iterable[str], given: dict[str, str]) -> tuple[Effect, ...]:
        """Break nodes, side by side, and prove it. What cannot be proven is healed and raised as FaultError: no silent no-op."""
        fault = find(name)
        options = options_of(fault, given)
        sites = [self.site(node) for node in nodes]
        for site in sites:
            self._check(fault, site, options)
        hits = [self._hit(fault, site, options) for site in sites]
        for site, hit in zip(sites, hits, strict=True):
            record.write(site.engine, site.node, hit)
        with ThreadPoolExecutor(len(sites)) as pool:
            futures = [pool.submit(self._fire, fault, site, hit) for site, hit in zip(sites, hits, strict=True)]
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            self.heal(hits)
            raise next((error for error in errors if not isinstance(error, LabError)), errors[0])
        return tuple(future.result() for future in futures)

    def _check(self, fault: Fault, site: Site, options: Options) -> None:
        state = site.engine.inspect(site.node.container)["State"]["Status"]
        if state != "running":
            raise FaultError(f"{site.node.name} is {state}: {fault.name} needs a node that runs", f"`halab start {self.lab.name} {site.node.name}`")
        reason = fault.check(site, options)
        if reason:
            raise FaultError(f"{fault.name} cannot act on {site.node.name}: {reason}", "nothing was changed")

    def _hit(self, fault: Fault, site: Site, options: Options) -> Hit:
        before = fault.prepare(site, options)
        return Hit(id=secrets.token_hex(4), fault=fault.name, node=site.node.name, options=options, since=time.time(), before=before)

    def _fire(self, fault: Fault, site: Site, hit: Hit) -> Effect:
        begin = time.monotonic()
        fault.inject(site, hit)
        while True:
            proof = fault.proof(site, hit)
            if proof:
                return Effect(hit=hit, proof=proof, seconds=round(time.monotonic() - begin, 3))
            if time.monotonic() - begin > PROOF_S:
                raise FaultError(f"{fault.name} on {site.node.name} shows no effect after {PROOF_S:.0f} s; it was healed")
            time.sleep(PROOF_EVERY_S)

    def heal(self, hits: Iterable[Hit] | None = None) -> tuple[Hit, ...]:
        """Heal these faults, or all that are on; the newest of a node first. Raises HealFailed (or ApplyError) after trying all."""
        chosen = tuple(self.active() if hits is None else hits)
        by_node: dict[str, list[Hit]] = {}
        for hit in sorted(chosen, key=lambda hit: -hit.since):
            by_node.setdefault(hit.node, []).append(hit)
        errors: list[LabError] = []
        with ThreadPoolExecutor(max(1, len(by_node))) as pool:
            for future in [pool.submit(self._heal_node, node, list_) for node, list_ in by_node.items()]:
                errors += future.result()
        if errors:
            raise errors[0] if len(errors) == 1 else ApplyError(tuple(errors))
        return chosen

    def _heal_node(self, node: str, hits: list[Hit]) -> list[LabError]:
        site = self.site(node)
        errors: list[LabError] = []
        # A frozen or dead machine can run no command: what wakes it comes first, whatever was done last.
        for hit in sorted(hits, key=lambda hit: faults.find(hit.fault).__class__.__module__ != "lab.faults.machine"):
            try:
                faults.find(hit.fault).heal(site, hit)
                record.clear(site.engine, site.node, hit)
            except (LabError, KeyError) as error:
                errors.append(HealFailed(f"{hit.fault} on {node} could not be healed: {error}", f"`halab fault heal {self.lab.name}` tries again"))
        if not errors and not record.read(site.engine, [site.node]):
            site.engine.start(site.node.container)  # it may have been shot while the fault was on; one that runs stays as it is
        return errors
