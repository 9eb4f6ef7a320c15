"""Breaking a lab and mending it: targets are resolved, records laid down first, effects proven, healing owes nothing to memory."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.base.errors import ApplyError, FaultError, HealFailed, InputError, LabError, WaitTimeout
from lab.base.wait import tried, until
from lab.chaos import faults, targets
from lab.chaos.fault import STARTED, Site
from lab.live import active_faults, status
from lab.live.active_faults import Hit
from lab.nodes.ha.membership import Settling, quiet_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.chaos.fault import Fault
    from lab.live.active_faults import Options
    from lab.live.lab import Lab

PROOF_EVERY_S = 0.02
REJOIN_S = 180
"""A rebooted master is a member some ten seconds later, and may be shot once before; a busy host takes several times as long."""
FENCING_OFF = "fencing-off"
HEAL_TRIES, HEAL_AGAIN_S = 3, 0.5
"""The others may shoot a machine while it is being healed: it is powered on, and looked at again."""
ALIVE_S = 60
"""For masters that were hung or cut off to be seen alive again before fencing is turned on: it would shoot them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What an injection did: where, what shows it, and the seconds from firing to that proof.

    Where the engine noted the moment itself (when a killed machine ended), they last until that moment, not until we asked.
    """

    hit: Hit
    proof: str
    seconds: float
    fired: float = 0.0
    """When, on the monotonic clock, seconds."""


def options_of(fault: Fault, given: dict[str, str]) -> Options:
    """Fill in the defaults. Raises InputError for an option that the fault does not know."""
    unknown = sorted(set(given) - set(fault.options))
    if unknown:
        known = ", ".join(fault.options) or "none"
        raise InputError(
            f"fault {fault.name} has no option {', '.join(unknown)}", f"its options: {known}"
        )
    return {**fault.options, **given}


def find(name: str) -> Fault:
    """Give a fault by name. Raises InputError with a proposal."""
    import difflib

    try:
        return faults.find(name)
    except KeyError as error:
        close = difflib.get_close_matches(name, faults.names(), n=1)
        raise InputError(
            f"no fault `{name}`",
            f"did you mean `{close[0]}`?" if close else "`halab fault list` lists them",
        ) from error


@dataclass(frozen=True)
class Chaos:
    """A lab's faults."""

    lab: Lab

    def site(self, name: str, group: tuple[str, ...] = ()) -> Site:
        """Give the place of a node, which is hit together with a group of nodes."""
        others = {
            node.name: self.lab.node(node.name)
            for node in self.lab.topology.machines
            if node.name != name
        }
        return Site(
            self.lab.engine,
            self.lab.topology,
            self.lab.distribution().name,
            self.lab.node(name),
            others,
            group,
        )

    def targets(self, word: str, seed: int) -> tuple[str, ...]:
        """Give the nodes that a word means now."""
        return targets.resolve(word, self.lab.topology, lambda: status.look(self.lab), seed)

    def active(self) -> tuple[Hit, ...]:
        """Give the faults that are on, the oldest first."""
        return active_faults.read(
            self.lab.engine, [self.lab.node(node.name) for node in self.lab.topology.machines]
        )

    def lacking(self) -> dict[str, str]:
        """Say of each fault what the first master and its host lack for it; empty where nothing. A master that does not run lacks all."""
        node = self.lab.topology.masters[0].name
        site = self.site(node)

        def ask(fault: Fault) -> str:
            try:
                return fault.lacks(site)
            except LabError as error:
                return f"{node} cannot be asked: {error.message}"

        known = faults.all_faults()
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(known, pool.map(ask, known.values()), strict=True))

    def inject(self, name: str, nodes: Iterable[str], given: dict[str, str]) -> tuple[Effect, ...]:
        """Break nodes, side by side, and prove it. What cannot be proven is healed and raised as FaultError: no silent no-op."""
        fault = find(name)
        options = options_of(fault, given)
        group = tuple(nodes)
        sites = [self.site(node, group) for node in group]
        with ThreadPoolExecutor(len(sites)) as pool:
            # All are asked and noted before the first is hit.
            hits = list(pool.map(lambda site: self._prepare(fault, site, options), sites))
            futures = [
                pool.submit(active_faults.write, site.node, hit)
                for site, hit in zip(sites, hits, strict=True)
            ]
            errors = [error for future in futures if (error := future.exception()) is not None]
            if not errors:
                fired = [
                    pool.submit(self._fire, fault, site, hit)
                    for site, hit in zip(sites, hits, strict=True)
                ]
                errors = [error for future in fired if (error := future.exception()) is not None]
        if errors:
            self.heal(hits)
            raise next((error for error in errors if not isinstance(error, LabError)), errors[0])
        return tuple(future.result() for future in fired)

    def _prepare(self, fault: Fault, site: Site, options: Options) -> Hit:
        state = site.engine.inspect(site.node.container)["State"]
        if state["Status"] != "running":
            hint = f"`halab start {self.lab.name} {site.node.name}`"
            raise FaultError(
                f"{site.node.name} is {state['Status']}: {fault.name} needs a node that runs", hint
            )
        reason = fault.lacks(site) or fault.check(site, options)
        if reason:
            raise FaultError(
                f"{fault.name} cannot act on {site.node.name}: {reason}", "nothing was changed"
            )
        before = {STARTED: str(state["StartedAt"]), **fault.prepare(site, options)}
        return Hit(
            id=secrets.token_hex(4),
            fault=fault.name,
            node=site.node.name,
            options=options,
            since=time.time(),
            before=before,
        )

    def _fire(self, fault: Fault, site: Site, hit: Hit) -> Effect:
        begin, wall = time.monotonic(), time.time()
        proof = fault.inject(site, hit)
        while not (proof := proof or fault.proof(site, hit)):
            if time.monotonic() - begin > fault.proof_s:
                raise FaultError(
                    f"{fault.name} on {site.node.name} shows no effect after {fault.proof_s:.0f} s; it was healed"
                )
            time.sleep(PROOF_EVERY_S)
        seconds = time.monotonic() - begin
        moment = (fault.moment(site, hit) or 0) - wall
        # The engine may live on another machine, with a clock of its own: then what we saw counts.
        return Effect(
            hit=hit,
            proof=proof,
            seconds=round(moment if 0 < moment < seconds else seconds, 3),
            fired=begin,
        )

    def chosen(self, word: str) -> tuple[Hit, ...]:
        """Give the active faults of that name or id. Raises InputError where none is."""
        active = self.active()
        found = tuple(hit for hit in active if word in {hit.fault, hit.id})
        if not found:
            on = ", ".join(f"{hit.fault} at {hit.node} ({hit.id})" for hit in active) or "none"
            raise InputError(f"no fault `{word}` is on in lab {self.lab.name}", f"on are: {on}")
        return found

    def heal(self, hits: Iterable[Hit] | None = None) -> tuple[Hit, ...]:
        """Heal these faults, or all that are on; the newest of a node first. Raises HealFailed (or ApplyError) after trying all."""
        chosen = tuple(self.active() if hits is None else hits)
        last = [hit for hit in chosen if hit.fault == FENCING_OFF]
        errors = self._heal_all([hit for hit in chosen if hit not in last])
        if last:
            # Who is silent when fencing is turned on is shot, also if it has just been woken.
            with suppress(
                WaitTimeout
            ):  # turned on all the same; whoever is shot then is seen by `rejoin`
                self._settle(last, ALIVE_S)
            errors += self._heal_all(last)
        if errors:
            raise errors[0] if len(errors) == 1 else ApplyError(tuple(errors))
        return chosen

    def _heal_all(self, hits: list[Hit]) -> list[LabError]:
        by_node: dict[str, list[Hit]] = {}
        for hit in sorted(hits, key=lambda hit: -hit.since):
            by_node.setdefault(hit.node, []).append(hit)
        with ThreadPoolExecutor(max(1, len(by_node))) as pool:
            return [
                error
                for errors in pool.map(self._heal_node, by_node, by_node.values())
                for error in errors
            ]

    def _heal_node(self, node: str, hits: list[Hit]) -> list[LabError]:
        site = self.site(node)
        # A frozen or dead machine can run no command: what wakes it comes first, whatever was done last.
        first = {name for name, fault in faults.all_faults().items() if fault.heals_first}
        left = sorted(hits, key=lambda hit: hit.fault not in first)
        errors: list[LabError] = []
        for again in range(HEAL_TRIES):
            if again:
                time.sleep(HEAL_AGAIN_S)
            errors = self._heal_once(site, left)
            if not errors:
                break
        return errors

    def _heal_once(self, site: Site, left: list[Hit]) -> list[LabError]:
        """Heal what is left of a node's faults; what is healed is taken from the list."""
        errors: list[LabError] = []
        healed: list[Hit] = []
        for hit in left:
            unknown = hit.fault not in faults.names()
            try:
                fault = faults.find(hit.fault)
                # An older halab's record has not the options that came since.
                fault.heal(site, replace(hit, options={**fault.options, **hit.options}))
                healed.append(hit)
            except (LabError, KeyError, ValueError) as error:
                why = "this halab knows no such fault" if unknown else str(error)
                if not unknown and not isinstance(error, LabError):
                    why = f"its record lacks what healing needs ({error})"
                said = f"{hit.fault} on {site.node.name} could not be healed: {why}"
                again = f"`halab fault heal {self.lab.name}`"
                errors.append(
                    HealFailed(
                        said,
                        f"the halab that injected it heals it: {again} there"
                        if unknown
                        else f"{again} tries again",
                    )
                )
        try:
            # It may have been shot while the fault was on. Asked of the engine first: reading the records of a node takes ten times as long.
            if not site.node.running and {
                hit.id for hit in active_faults.read(site.engine, [site.node])
            } <= {hit.id for hit in left}:
                site.engine.start(site.node.container)
            active_faults.clear(site.engine, site.node, healed)
            left[:] = [hit for hit in left if hit not in healed]
        except LabError as error:
            errors.append(error)
        return errors

    def rejoin(
        self, hits: Iterable[Hit], on_change: Callable[[str], None] = lambda _: None
    ) -> None:
        """Wait until the masters are one cluster again, if any of them was hit: whoever is shot meanwhile is powered on.

        `on_change` hears what is awaited. Nothing is where there is no quorum to judge, or where other faults are on at masters still.
        Raises WaitTimeout.
        """
        names = {node.name for node in self.lab.topology.masters}
        mine = [hit for hit in hits if hit.node in names]
        if mine and self._settle(mine, REJOIN_S, on_change):
            for name in {hit.node for hit in mine}:
                active_faults.clear(
                    self.lab.engine, self.lab.node(name), ()
                )  # it may have been off when its records were taken back

    def _settle(
        self, hits: list[Hit], timeout_s: float, on_change: Callable[[str], None] = lambda _: None
    ) -> bool:
        masters = tuple(self.lab.node(node.name) for node in self.lab.topology.masters)
        others = [
            hit
            for hit in self.active()
            if hit.node in {node.name for node in masters} and hit.fault != FENCING_OFF
        ]
        # The machine that fencing was turned off by need not be the one that must be back.
        wanted = {hit.node for hit in hits if hit.fault != FENCING_OFF}
        # Those that were hit may be off at this moment, all of them: shot since they were healed.
        if (
            others
            or len(wanted | {node.name for node in masters if node.running}) <= len(masters) // 2
        ):
            return False
        settling = Settling(
            masters, quiet_s(self.lab.topology.ha.token_ms), min(hit.since for hit in hits), wanted
        )
        try:
            until(
                "the masters are one cluster again",
                lambda: tried(settling.observe),
                timeout_s=timeout_s,
                on_change=on_change,
            )
        except WaitTimeout as error:
            hint = f"`halab status {self.lab.name}` shows more; `halab start {self.lab.name}` powers on what is off"
            raise WaitTimeout(error.what, error.seconds, error.last, hint) from error
        return True
