"""Faults of whole machines: their power and their pulse."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from lab.chaos import wire
from lab.chaos.fault import STARTED, Base, same_life

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options


def state(site: FaultSite) -> str:
    """Return the engine's word for the node's state."""
    return str(site.engine.inspect(site.node.container)["State"]["Status"])


def seconds(word: str) -> float | None:
    """Read the engine's time (RFC 3339 with nanoseconds, UTC) as seconds since 1970; nothing where it is none."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", word)
    return (
        datetime.fromisoformat(found[1] + "+00:00").timestamp() + float(found[2] or 0)
        if found
        else None
    )


class _Off(Base):
    """Faults after which the machine is off; healing powers it on."""

    heals_first = True
    evidence_timeout_s = 20.0
    """A machine with many processes takes the engine a second or two to bury when the host is
    busy."""

    def took_effect_at(self, site: FaultSite, active: ActiveFault) -> float | None:
        """When its last process had ended: the engine notes it, and then needs some 0.3 s more to take the network away and say so."""
        del active
        return seconds(str(site.engine.inspect(site.node.container)["State"]["FinishedAt"]))

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The engine says that it does not run."""
        del active
        found = state(site)
        return f"{site.node.name} is {found}" if found == "exited" else ""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Power it on."""
        del active
        site.engine.start(site.node.container)


@dataclass(frozen=True)
class Crash(_Off):
    """Every process ends at once; the kernel closes their connections, so that peers see an end (FIN or RST)."""

    name: str = "crash"
    summary: str = "kill a machine; its kernel still closes its connections"

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Kill it."""
        del active
        site.engine.kill(site.node.container)


@dataclass(frozen=True)
class PowerCut(_Off):
    """The wire goes silent first, then the machine ends: nobody hears a FIN.

    What the loss of a real machine looks like.
    """

    name: str = "power-cut"
    summary: str = (
        "silence, then death: peers hear nothing, as of a machine that lost its power "
        "(--set means=auto|nft|tc)"
    )
    options: Options = field(default_factory=lambda: {"means": "auto"})
    needs: str = "nft on the node, or tc's clsact with bpf in the kernel"

    def missing(self, site: FaultSite) -> str:
        """One of the two means of silence must be there."""
        return wire.missing(site)

    def check(self, site: FaultSite, options: Options) -> str:
        """The means must be there; what a partition drops already is no obstacle."""
        if options["means"] == "tc":
            return wire.tc_missing(site)
        return wire.refused(site, options["means"])

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Choose the means."""
        return {"means": wire.chosen(site, options["means"])}

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Drop all, then kill. The rules die with the machine's network."""
        wire.silence(site, active.before.get("means", "nft"))
        site.engine.kill(site.node.container)

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Power it on. One that was silenced and then not killed runs, and is heard again."""
        if same_life(site, active):
            wire.lift(site)
        super().heal(site, active)


@dataclass(frozen=True)
class Stop(_Off):
    """An orderly shutdown: services end, the VIP is handed over."""

    name: str = "stop"
    summary: str = "shut a machine down in good order"

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Shut it down."""
        del active
        site.engine.stop(site.node.container, 10)


@dataclass(frozen=True)
class Reboot(Base):
    """Off and on again at once."""

    heals_first = True
    name: str = "reboot"
    summary: str = "kill a machine and power it on at once"

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Kill and start."""
        del active
        site.engine.kill(site.node.container)
        site.engine.start(site.node.container)

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """It was started after the fault began."""
        started = str(site.engine.inspect(site.node.container)["State"]["StartedAt"])
        return (
            f"{site.node.name} was started anew at {started}"
            if started != active.before[STARTED]
            else ""
        )

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """See that it runs."""
        del active
        site.engine.start(site.node.container)


@dataclass(frozen=True)
class Hang(Base):
    """Frozen: its kernel still answers ARP, ping and TCP handshakes, but no process runs."""

    heals_first = True
    name: str = "hang"
    summary: str = "freeze a machine: its addresses still answer, its processes do not"

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Pause it."""
        del active
        site.engine.pause(site.node.container)

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The engine says that it is paused."""
        del active
        return f"{site.node.name} is paused" if state(site) == "paused" else ""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Let it run again; one that was fenced meanwhile is powered on."""
        del active
        if state(site) == "paused":
            site.engine.unpause(site.node.container)
        else:
            site.engine.start(site.node.container)


FAULTS = (Crash(), PowerCut(), Stop(), Reboot(), Hang())
