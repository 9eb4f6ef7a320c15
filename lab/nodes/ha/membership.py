"""Whether the masters are one cluster, and starting again what was shot meanwhile.

A master that is back in touch may be shot all the same: the others decided on it before, and
nothing takes that back. A machine that was shot stays down, so whoever heals has to look until the
decision has either been carried out or never was made. One that was powered on before it was told
of the shot stays out of the cluster, too: its Pacemaker ends for good.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.wait import Observation
from lab.nodes.ha import crm_mon

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.engine.node import NodeHandle
    from lab.nodes.ha.crm_mon import View

ASK_TIMEOUT_S = 10
"""For one question; a tenth of a second on a quiet machine."""
AGREED_S = 1.0
"""What Pacemaker may take to notice a new membership, beside Corosync's own delays.

That is its transition-delay and one turn of its scheduler.
"""

# --- what acts ---


def power_on_again(node: NodeHandle) -> str:
    """Power a machine on that should run and does not; return what it was, or nothing.

    A master that comes back while the others are still agreeing on its loss is shot once more.
    """
    state = str(node.engine.inspect(node.container)["State"]["Status"])
    if state == "running":
        return ""
    node.engine.start(node.container)
    if state == "paused":
        return "was frozen; woken again"
    return f"was {state} (shot by the others, who had not seen it return); powered on again"


def revive(node: NodeHandle) -> str:
    """Start a master's Pacemaker where it stays down after a fatal error; return what it was.

    The others' word of a shot waits while Corosync agrees on who is left, and may reach the machine
    when it runs again. Its Pacemaker then says "We were allegedly just fenced", ends with 100
    (CRM_EX_FATAL) and is not started again by systemd (its unit counts 100 as a success).
    """
    state = node.run(crm_mon.ASK_UNIT, check=False, timeout_s=ASK_TIMEOUT_S).output.splitlines()
    if not set(crm_mon.FATAL) <= set(state):
        return ""
    node.run(("systemctl", "start", "--no-block", "pacemaker"), timeout_s=ASK_TIMEOUT_S)
    return "its Pacemaker had ended, told late that the machine had been shot; started again"


# --- what asks ---


def look(node: NodeHandle) -> View:
    """Return a master's view of the cluster."""
    return crm_mon.view(node.run(crm_mon.ASK, check=False, timeout_s=ASK_TIMEOUT_S).output)


def member(node: NodeHandle) -> Observation:
    """Return whether a master, which runs, is a full member of a cluster that has quorum."""
    view = look(node)
    if view.quorate and node.name in view.members and node.name not in view.fencing:
        return Observation(
            ok=True, detail=f"{node.name} is Ready, and a member of Pacemaker's cluster"
        )
    return Observation(ok=False, detail="is no member of Pacemaker's cluster yet")


def quiet_s(token_ms: int) -> float:
    """Return for how many seconds masters must agree before nobody can be shot for what is over.

    A token that was lost is believed in for `token`, then they agree on who is left for
    `consensus`, by default 1.2 tokens (corosync.conf(5)), then Pacemaker decides.
    """
    return 2.2 * token_ms / 1000 + AGREED_S


@dataclass(slots=True)
class Settling:
    """The masters on their way to being one cluster."""

    masters: tuple[NodeHandle, ...]
    quiet_s: float
    since: float = field(default_factory=time.time)
    """POSIX time: whoever was shot after it is powered on again, too."""
    wanted: set[str] = field(default_factory=set)
    """Who must be a member at the end; those that are found running are added."""
    agreed: float | None = None
    """Since when they agree, on the monotonic clock."""

    def advance(self) -> Observation:
        """Start what was shot meanwhile; return whether all have agreed for long enough."""
        since = self.agreed
        self.agreed = None  # a master that dies while it is asked is no agreement, either
        observation = self._advance()
        if not observation.ok:
            return observation
        self.agreed = since or time.monotonic()
        ok = time.monotonic() - self.agreed >= self.quiet_s
        return Observation(ok=ok, detail=observation.detail)

    def _advance(self) -> Observation:
        self.wanted |= {node.name for node in self.masters if node.running}
        awaited = [node for node in self.masters if node.name in self.wanted]
        if shot := _power_on_again(awaited):
            return Observation(ok=False, detail=shot)
        with ThreadPoolExecutor(max(1, len(awaited))) as pool:
            names = [node.name for node in awaited]
            views = dict(zip(names, pool.map(look, awaited), strict=True))
        self.wanted |= self._shot(views)
        if ended := _revive([node for node in awaited if not views[node.name].members]):
            return Observation(ok=False, detail=ended)
        reason = self._disagreement(views)
        one = f"{', '.join(sorted(views))} are one cluster"
        return Observation(ok=not reason, detail=reason or one)

    def _shot(self, views: Mapping[str, View]) -> set[str]:
        """Return the masters that were shot since the settling began."""
        known = {node.name for node in self.masters}
        fenced = [event for view in views.values() for event in view.fenced]
        return {name for name, moment in fenced if moment >= self.since and name in known}

    def _disagreement(self, views: Mapping[str, View]) -> str:
        """Return why the masters are not one cluster; empty where they are."""
        if fencing := sorted({name for view in views.values() for name in view.fencing}):
            return f"{', '.join(fencing)} about to be shot"
        for name, view in views.items():
            if missing := sorted(self.wanted - view.members):
                return f"{name} does not count {', '.join(missing)} as a member"
            if not view.quorate:
                return f"{name} has no quorum"
        return ""


def _power_on_again(nodes: list[NodeHandle]) -> str:
    states = {node.name: power_on_again(node) for node in nodes}
    return "; ".join(f"{name} {state}" for name, state in states.items() if state)


def _revive(nodes: list[NodeHandle]) -> str:
    states = {node.name: revive(node) for node in nodes}
    return "; ".join(f"{name}: {state}" for name, state in states.items() if state)
