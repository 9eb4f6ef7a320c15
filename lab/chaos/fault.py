"""What a fault is: how it is checked, injected, proven and healed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.engine.client import Engine
    from lab.engine.node import NodeHandle
    from lab.live.active_faults import ActiveFault, Options
    from lab.topology.model import Topology


@dataclass(frozen=True, slots=True)
class FaultSite:
    """Where a fault acts: a lab, and one node of it."""

    engine: Engine
    topology: Topology
    distribution: str
    node: NodeHandle
    others: Mapping[str, NodeHandle]
    """The lab's other machines, by name."""
    group: tuple[str, ...] = ()
    """All nodes that this fault hits together, this one too; empty when healing."""


class Fault(Protocol):
    """A kind of fault. Raises FaultError where it cannot act or cannot prove that it did."""

    name: str
    summary: str
    options: Options
    """Option → default; an empty default is explained in `summary`."""
    needs: str
    """What the host or node must have, for people; empty: nothing special."""
    evidence_timeout_s: float
    heals_first: bool
    """Whether its healing wakes the machine: a frozen or dead one can run no command, so it comes
    before all others there."""

    def missing(self, site: FaultSite) -> str:
        """Say what this host or node lacks for it, whatever the options; or nothing.

        Changes nothing.
        """

    def check(self, site: FaultSite, options: Options) -> str:
        """Say why the fault cannot act here with these options, or nothing. Changes nothing."""

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Return what healing will need, before anything is changed."""

    def inject(self, site: FaultSite, active: ActiveFault) -> str | None:
        """Break it; gives the proof where it sees that at once."""

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """Return what shows that it acts; an empty text while nothing does yet."""

    def took_effect_at(self, site: FaultSite, active: ActiveFault) -> float | None:
        """Return when it began to act, by the engine's clock (seconds since 1970), where the engine knows better than our asking."""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Mend it. Idempotent; the node may be off, paused or whole already."""


STARTED = "started"
"""In every record: when the node had been started, in the engine's words. See `same_life`."""


def same_life(site: FaultSite, active: ActiveFault) -> bool:
    """Whether the node runs and was not powered on anew since the fault began.

    Else rules, mounts, processes and addresses are gone with the machine's last life: there is
    nothing to mend.
    """
    state = site.engine.inspect(site.node.container)["State"]
    return bool(
        state["Status"] == "running"
        and state["StartedAt"] == active.before.get(STARTED, state["StartedAt"])
    )


class Base:
    """What most faults share: nothing needed, nothing to check, nothing to remember."""

    options: Options = {}  # noqa: RUF012 (a constant of each class)
    needs = ""
    evidence_timeout_s = 5.0
    """How long the proof may take: the first packet to be dropped, the first tick to be throttled;
    a lab is never silent that long."""
    heals_first = False

    def missing(self, site: FaultSite) -> str:
        """Nothing."""
        del site
        return ""

    def took_effect_at(self, site: FaultSite, active: ActiveFault) -> float | None:
        """When it was proven."""
        del site, active
        return None

    def check(self, site: FaultSite, options: Options) -> str:
        """Nothing stands against it."""
        del site, options
        return ""

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Nothing needs to be remembered."""
        del site, options
        return {}
