"""Whether the masters are one cluster: what each one's Pacemaker says, and powering on again what was shot meanwhile.

A master that is back in touch may be shot all the same: the others decided on it before, and nothing takes that back. A machine that was
shot stays down, so whoever heals has to look until the decision has either been carried out or never was made. One that was powered on before
it was told of the shot stays out of the cluster, too: its Pacemaker ends for good.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.wait import Observation
from lab.nodes.ha import crm_mon

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.engine.node import NodeHandle
    from lab.nodes.ha.crm_mon import View

ASK_TIMEOUT_S = 10
"""For one question; a tenth of a second on a quiet machine."""
AGREED_S = 1.0
"""What Pacemaker may take to notice a new membership, beside Corosync's own delays: its transition-delay and one turn of its scheduler."""


def look(node: NodeHandle) -> View:
    """Give a master's view of the cluster."""
    return crm_mon.view(node.run(crm_mon.ASK, check=False, timeout_s=ASK_TIMEOUT_S).output)


def power_on_again(node: NodeHandle) -> str:
    """Power a machine on that should run and does not; gives what it was, or nothing.

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
    """Start a master's Pacemaker where it stays down after a fatal error; gives what it was, or nothing.

    The others' word of a shot waits while Corosync agrees on who is left, and may reach the machine when it runs again. Its Pacemaker then says
    "We were allegedly just fenced", ends with 100 (CRM_EX_FATAL) and is not started again by systemd (to its unit, 100 is SuccessExitStatus).
    """
    if set(crm_mon.FATAL) <= set(
        node.run(crm_mon.ASK_UNIT, check=False, timeout_s=ASK_TIMEOUT_S).output.splitlines()
    ):
        node.run(("systemctl", "start", "--no-block", "pacemaker"), timeout_s=ASK_TIMEOUT_S)
        return "its Pacemaker had ended, told late that the machine had been shot; started again"
    return ""


def member(node: NodeHandle) -> Observation:
    """Return whether a master is a full member of a cluster that has quorum. It must run."""
    view = look(node)
    if view.quorate and node.name in view.members and node.name not in view.fencing:
        return Observation(
            ok=True, detail=f"{node.name} is Ready, and a member of Pacemaker's cluster"
        )
    return Observation(ok=False, detail="is no member of Pacemaker's cluster yet")


def quiet_s(token_ms: int) -> float:
    """Give the seconds that masters must agree before nobody can be shot for what is over.

    A token that was lost is believed in for `token`, then they agree on who is left for `consensus`, by default 1.2 tokens
    (corosync.conf(5)), then Pacemaker decides.
    """
    return 2.2 * token_ms / 1000 + AGREED_S


@dataclass(slots=True)
class Settling:
    """The masters on their way to being one cluster. `since` is a POSIX time: who was shot after it is powered on again, too."""

    masters: tuple[NodeHandle, ...]
    quiet_s: float
    since: float = field(default_factory=time.time)
    wanted: set[str] = field(default_factory=set)
    """Who must be a member at the end; those that are found running are added."""
    agreed: float | None = None
    """Since when they agree, on the monotonic clock."""

    def observe(self) -> Observation:
        """Look once: ok when all that are wanted have agreed for long enough."""
        since, self.agreed = (
            self.agreed,
            None,
        )  # a master that dies while it is asked is no agreement, either
        observation = self._look()
        if not observation.ok:
            return observation
        self.agreed = since or time.monotonic()
        ok = time.monotonic() - self.agreed >= self.quiet_s
        return Observation(ok=ok, detail=observation.detail)

    def _look(self) -> Observation:
        self.wanted |= {node.name for node in self.masters if node.running}
        on = [node for node in self.masters if node.name in self.wanted]
        if shot := "; ".join(
            f"{node.name} {said}" for node in on if (said := power_on_again(node))
        ):
            return Observation(ok=False, detail=shot)
        with ThreadPoolExecutor(max(1, len(on))) as pool:
            views = dict(zip([node.name for node in on], pool.map(look, on), strict=True))
        self.wanted |= self._shot(views.values())
        if ended := "; ".join(
            f"{node.name}: {said}"
            for node in on
            if not views[node.name].members and (said := revive(node))
        ):
            return Observation(ok=False, detail=ended)
        being = sorted({name for view in views.values() for name in view.fencing})
        if being:
            return Observation(ok=False, detail=f"{', '.join(being)} about to be shot")
        for name, view in views.items():
            if missing := sorted(self.wanted - view.members):
                return Observation(
                    ok=False, detail=f"{name} does not count {', '.join(missing)} as a member"
                )
            if not view.quorate:
                return Observation(ok=False, detail=f"{name} has no quorum")
        return Observation(ok=True, detail=f"{', '.join(sorted(views))} are one cluster")

    def _shot(self, views: Iterable[View]) -> set[str]:
        known = {node.name for node in self.masters}
        return {
            name
            for view in views
            for name, moment in view.fenced
            if moment >= self.since and name in known
        }
