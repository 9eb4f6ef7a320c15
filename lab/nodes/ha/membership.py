"""Whether the masters are one cluster, and the repair of those that were fenced meanwhile.

A master that is back in touch may be fenced all the same: the others decided so before, and nothing
takes that back. A fenced machine stays down. Whoever heals a fault therefore has to look until the
decision has been carried out, or certainly was never made. A master that is powered on before it
hears of its fencing stays out of the cluster, too: its Pacemaker ends for good.
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
"""For one question, which takes a tenth of a second on a quiet machine."""
AGREED_S = 1.0
"""What Pacemaker may take to notice a new membership, beside Corosync's own delays: its
transition-delay and one turn of its scheduler."""

# --- what acts ---


def power_on_again(node: NodeHandle) -> str:
    """Power on a machine that should run; return what was wrong, or "" if it runs.

    A master that returns while the others are still agreeing on its loss is fenced once more.
    """
    state = str(node.engine.inspect(node.container)["State"]["Status"])
    if state == "running":
        return ""
    node.engine.start(node.container)
    if state == "paused":
        return "was frozen; woken again"
    return f"was {state} (fenced by the others, who had not seen it return); powered on again"


def revive(node: NodeHandle, unit: str = "") -> str:
    """Start a master's Pacemaker if a fatal error ended it; return what was wrong, or "".

    The others' news of a fencing waits while Corosync agrees on who is left, and may reach the
    machine when it runs again. Its Pacemaker then says "We were allegedly just fenced" and exits
    with 100 (CRM_EX_FATAL); systemd does not restart it, for its unit counts 100 as a success.

    `unit` is the answer to crm_mon.ASK_UNIT, if the caller has it already.
    """
    if not unit:
        unit = node.run(crm_mon.ASK_UNIT, check=False, timeout_s=ASK_TIMEOUT_S).output
    if not set(crm_mon.FATAL) <= set(unit.splitlines()):
        return ""
    node.run(("systemctl", "start", "--no-block", "pacemaker"), timeout_s=ASK_TIMEOUT_S)
    return "its Pacemaker had ended, told late that the machine had been shot; started again"


def refresh_attributes(node: NodeHandle) -> None:
    """Have the masters' attributes written into the cluster's configuration again.

    A master that was frozen for long takes the others for lost when it runs again, and clears their
    attributes there (seen with Pacemaker 3.0.0, fencing off). Their attribute managers still know
    the values, and write them only when one changes. Until then the rule `vip-needs-apiserver`
    keeps the VIP from all of them.
    """
    node.run(("attrd_updater", "--refresh"), timeout_s=ASK_TIMEOUT_S)


# --- what asks ---


def look(node: NodeHandle) -> View:
    """Return a master's view of the cluster. Raises LabError if the master cannot be asked."""
    return crm_mon.view(node.run(crm_mon.ASK, check=False, timeout_s=ASK_TIMEOUT_S).output)


def member(node: NodeHandle) -> Observation:
    """Whether a running master is a full member of a cluster that has quorum."""
    view = look(node)
    if view.quorate and node.name in view.members and node.name not in view.fencing:
        return Observation(
            ok=True, detail=f"{node.name} is Ready, and a member of Pacemaker's cluster"
        )
    return Observation(ok=False, detail="is no member of Pacemaker's cluster yet")


def quiet_s(token_ms: int) -> float:
    """Return how many seconds masters must agree until nobody can be fenced for what is over.

    A lost token is believed in for `token`. The masters then agree on who is left for `consensus`,
    by default 1.2 tokens (corosync.conf(5)). Then Pacemaker decides.
    """
    return 2.2 * token_ms / 1000 + AGREED_S


@dataclass(slots=True)
class Settling:
    """The masters on their way to being one cluster."""

    masters: tuple[NodeHandle, ...]
    quiet_s: float
    """For how many seconds all must have agreed."""
    since: float = field(default_factory=time.time)
    """POSIX time: masters that were fenced after it are powered on again, too."""
    expected: set[str] = field(default_factory=set)
    """Who must be a member at the end; masters that are seen to run are added."""
    agreed: float | None = None
    """Since when they agree, on the monotonic clock."""

    def advance(self) -> Observation:
        """Start what was fenced meanwhile; return whether all have agreed for long enough."""
        since = self.agreed
        self.agreed = None  # nor do they agree if a master dies while it is asked
        observation = self._advance()
        if not observation.ok:
            return observation
        self.agreed = since or time.monotonic()
        ok = time.monotonic() - self.agreed >= self.quiet_s
        return Observation(ok=ok, detail=observation.detail)

    def _advance(self) -> Observation:
        self.expected |= {node.name for node in self.masters if node.running}
        awaited = [node for node in self.masters if node.name in self.expected]
        if started := _power_on_again(awaited):
            return Observation(ok=False, detail=started)
        with ThreadPoolExecutor(max(1, len(awaited))) as pool:
            names = [node.name for node in awaited]
            views = dict(zip(names, pool.map(look, awaited), strict=True))
        self.expected |= self._fenced(views)
        if revived := _revive([node for node in awaited if not views[node.name].members]):
            return Observation(ok=False, detail=revived)
        reason = self._disagreement(views)
        good = f"{', '.join(sorted(views))} are one cluster"
        return Observation(ok=not reason, detail=reason or good)

    def _fenced(self, views: Mapping[str, View]) -> set[str]:
        """Return the masters that were fenced since the settling began."""
        known = {node.name for node in self.masters}
        events = [event for view in views.values() for event in view.fenced]
        return {name for name, at in events if at >= self.since and name in known}

    def _disagreement(self, views: Mapping[str, View]) -> str:
        """Return why the masters are not one cluster; "" if they are."""
        if fencing := sorted({name for view in views.values() for name in view.fencing}):
            return f"the fencing of {', '.join(fencing)} is under way"
        for name, view in views.items():
            if missing := sorted(self.expected - view.members):
                return f"{name} does not count {', '.join(missing)} among the members"
            if not view.quorate:
                return f"{name} has no quorum"
        return ""


def _power_on_again(nodes: list[NodeHandle]) -> str:
    states = {node.name: power_on_again(node) for node in nodes}
    return "; ".join(f"{name} {state}" for name, state in states.items() if state)


def _revive(nodes: list[NodeHandle]) -> str:
    states = {node.name: revive(node) for node in nodes}
    return "; ".join(f"{name}: {state}" for name, state in states.items() if state)
