"""Breaking a lab: faults are checked, recorded on nodes, injected, and must show an effect."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from lab.base.errors import FaultError
from lab.base.parallel import attempt_all, raise_first
from lab.chaos.fault import STARTED
from lab.chaos.healing import Healer
from lab.chaos.lab_faults import find, options_of
from lab.live import active_faults
from lab.live.active_faults import ActiveFault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.chaos.fault import Fault, FaultSite
    from lab.chaos.lab_faults import LabFaults
    from lab.live.active_faults import Options

EVIDENCE_EVERY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What an injection did: where, the evidence, and the seconds until the fault took effect.

    Where the engine noted when that was (a killed machine's end), `seconds` last until then;
    otherwise until the evidence was found.
    """

    active: ActiveFault
    evidence: str
    seconds: float
    fired: float = 0.0
    """When it was fired: seconds of the monotonic clock."""

    def to_dict(self) -> dict[str, Any]:
        """Return the effect as `fault inject -o json` prints it."""
        return {
            "hit": asdict(self.active),
            "proof": self.evidence,
            "seconds": self.seconds,
            "fired": self.fired,
        }


@dataclass(frozen=True)
class Injector:
    """Injects faults into a lab, and heals those that show no effect."""

    faults: LabFaults

    def inject(self, name: str, nodes: Iterable[str], chosen: Options) -> tuple[Effect, ...]:
        """Break nodes side by side, and return the evidence.

        If a fault shows no effect, all are healed and FaultError is raised: nothing fails silently.
        """
        fault = find(name)
        options = options_of(fault, chosen)
        group = tuple(nodes)
        sites = [self.faults.site(node, group) for node in group]
        # All nodes are checked, and recorded on, before the first one is hit.
        active, errors = attempt_all(
            [partial(self._prepare, fault, site, options) for site in sites]
        )
        raise_first(errors)
        pairs = list(zip(sites, active, strict=True))
        effects: list[Effect] = []
        _, errors = attempt_all(
            [partial(active_faults.write, site.node, record) for site, record in pairs]
        )
        if not errors:
            effects, errors = attempt_all(
                [partial(self._fire, fault, site, record) for site, record in pairs]
            )
        if errors:
            Healer(self.faults).heal(active)
            raise_first(errors)
        return tuple(effects)

    def _prepare(self, fault: Fault, site: FaultSite, options: Options) -> ActiveFault:
        state = site.engine.inspect(site.node.container)["State"]
        if state["Status"] != "running":
            hint = f"`halab start {self.faults.lab.name} {site.node.name}`"
            raise FaultError(
                f"{site.node.name} is {state['Status']}: {fault.name} needs a node that runs", hint
            )
        reason = fault.missing(site) or fault.check(site, options)
        if reason:
            raise FaultError(
                f"{fault.name} cannot act on {site.node.name}: {reason}", "nothing was changed"
            )
        before = {STARTED: str(state["StartedAt"]), **fault.prepare(site, options)}
        return ActiveFault(
            id=secrets.token_hex(4),
            fault=fault.name,
            node=site.node.name,
            options=options,
            since=time.time(),
            before=before,
        )

    def _fire(self, fault: Fault, site: FaultSite, active: ActiveFault) -> Effect:
        begin, wall = time.monotonic(), time.time()
        evidence = fault.inject(site, active)
        while not (evidence := evidence or fault.evidence(site, active)):
            if time.monotonic() - begin > fault.evidence_timeout_s:
                raise FaultError(
                    f"{fault.name} on {site.node.name} shows no effect after "
                    f"{fault.evidence_timeout_s:.0f} s; it was healed"
                )
            time.sleep(EVIDENCE_EVERY_S)
        seconds = time.monotonic() - begin
        by_engine = (fault.took_effect_at(site, active) or 0) - wall
        # The engine may run on another machine, whose clock differs: then our own time counts.
        if 0 < by_engine < seconds:
            seconds = by_engine
        return Effect(active=active, evidence=evidence, seconds=round(seconds, 3), fired=begin)
