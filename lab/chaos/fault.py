"""What a fault is: how it is checked, injected, verified and healed."""

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
    """All nodes that this fault hits together, this one included; empty when healing."""


class Fault(Protocol):
    """A kind of fault. Raises FaultError if it cannot act, or cannot show that it did."""

    name: str
    summary: str
    options: Options
    """Option → default; an empty default is explained in `summary`."""
    needs: str
    """What the host or node must have, in words; empty: nothing special."""
    evidence_timeout_s: float
    heals_first: bool
    """Whether healing it wakes the machine. Such a fault is healed before all others there: a
    frozen or dead machine can run no command."""

    def missing(self, site: FaultSite) -> str:
        """Return what this host or node lacks for it, whatever the options; empty if nothing.

        Changes nothing.
        """

    def check(self, site: FaultSite, options: Options) -> str:
        """Return why it cannot act here with these options; empty if it can. Changes nothing."""

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Return what healing will need. Runs before anything is changed."""

    def inject(self, site: FaultSite, active: ActiveFault) -> str | None:
        """Inject the fault; return the evidence if that is there at once."""

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """Return the evidence that it acts; empty as long as there is none."""

    def took_effect_at(self, site: FaultSite, active: ActiveFault) -> float | None:
        """Return when it began to act, by the engine's clock (seconds since 1970).

        None if the engine did not note that.
        """

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Undo it. Idempotent; the node may be off, paused or healthy already."""


STARTED = "started"
"""In every record: when the node was started, as the engine writes it. See `same_life`."""


def same_life(site: FaultSite, active: ActiveFault) -> bool:
    """Whether the node runs and has not been restarted since the fault began.

    If it was, rules, mounts, processes and addresses are gone: there is nothing to heal.
    """
    state = site.engine.inspect(site.node.container)["State"]
    return bool(
        state["Status"] == "running"
        and state["StartedAt"] == active.before.get(STARTED, state["StartedAt"])
    )


class Base:
    """What most faults share: nothing needed, nothing to check, nothing to note."""

    options: Options = {}  # noqa: RUF012 (a constant of each class)
    needs = ""
    evidence_timeout_s = 5.0
    """How long it may take until the first packet is dropped, or the first tick throttled. A lab is
    never silent that long."""
    heals_first = False

    def missing(self, site: FaultSite) -> str:
        """Nothing is needed."""
        del site
        return ""

    def took_effect_at(self, site: FaultSite, active: ActiveFault) -> float | None:
        """When the evidence was found."""
        del site, active
        return None

    def check(self, site: FaultSite, options: Options) -> str:
        """Nothing needs to be checked."""
        del site, options
        return ""

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Nothing needs to be noted."""
        del site, options
        return {}
