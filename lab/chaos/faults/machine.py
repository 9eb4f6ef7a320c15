"""Faults of whole machines: killed, cut off from power, shut down, rebooted, frozen."""

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
    """Return the node's state, as the engine names it."""
    return str(site.engine.inspect(site.node.container)["State"]["Status"])


def seconds(text: str) -> float | None:
    """Return the engine's time (RFC 3339 with nanoseconds, UTC) as seconds since 1970.

    None if the text is no time.
    """
    time = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", text)
    if time is None:
        return None
    return datetime.fromisoformat(time[1] + "+00:00").timestamp() + float(time[2] or 0)


class _Off(Base):
    """Faults after which the machine is off; healing powers it on."""

    heals_first = True
    evidence_timeout_s = 20.0
    """On a busy host, the engine takes a second or two to bury a machine with many processes."""

    def took_effect_at(self, site: FaultSite, active: ActiveFault) -> float | None:
        """When its last process had ended.

        The engine notes that, and then needs some 0.3 s more to remove the network and report it.
        """
        del active
        return seconds(str(site.engine.inspect(site.node.container)["State"]["FinishedAt"]))

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The engine says that it does not run."""
        del active
        return f"{site.node.name} is exited" if state(site) == "exited" else ""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Power it on."""
        del active
        site.engine.start(site.node.container)


@dataclass(frozen=True)
class Crash(_Off):
    """Every process ends at once; the kernel closes their connections: peers see a FIN or RST."""

    name: str = "crash"
    summary: str = "kill a machine; its kernel still closes its connections"

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Kill it."""
        del active
        site.engine.kill(site.node.container)


@dataclass(frozen=True)
class PowerCut(_Off):
    """The wire goes silent first, then the machine ends: nobody gets a FIN.

    So it looks when a real machine is lost.
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
        """The means must be there; that a partition uses it already does not matter."""
        if options["means"] == "tc":
            return wire.tc_missing(site)
        return wire.refused(site, options["means"])

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Choose the means."""
        return {"means": wire.chosen(site, options["means"])}

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Drop everything, then kill. The rules vanish with the machine's network."""
        wire.silence(site, active.before.get("means", "nft"))
        site.engine.kill(site.node.container)

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Power it on. If it was silenced but not killed, it runs: let its packets pass again."""
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
        if started == active.before[STARTED]:
            return ""
        return f"{site.node.name} was restarted at {started}"

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Power it on if it does not run."""
        del active
        site.engine.start(site.node.container)


@dataclass(frozen=True)
class Hang(Base):
    """Frozen: the kernel still answers ARP, ping and TCP handshakes, but no process runs."""

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
        """Let it run again; if it was fenced meanwhile, power it on."""
        del active
        if state(site) == "paused":
            site.engine.unpause(site.node.container)
        else:
            site.engine.start(site.node.container)


FAULTS = (Crash(), PowerCut(), Stop(), Reboot(), Hang())
