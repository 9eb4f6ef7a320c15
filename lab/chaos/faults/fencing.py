"""Fencing turned off for a while, to see what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import FaultError
from lab.chaos.fault import Base

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

PROPERTY = "stonith-enabled"


ATTRIBUTE = ("crm_attribute", "--type", "crm_config", "--name", PROPERTY)


def value(site: FaultSite) -> str:
    """Return the cluster's property."""
    return site.node.run([*ATTRIBUTE, "--query", "--quiet"]).output.strip()


@dataclass(frozen=True)
class FencingOff(Base):
    """No master is fenced: a lost master's address is taken over on the guess that it is dead."""

    name: str = "fencing-off"
    summary: str = "turn fencing off in the whole cluster; target any master that runs"

    def check(self, site: FaultSite, options: Options) -> str:
        """Fencing must be on, and the node a master."""
        del options
        if site.node.role != "master":
            return f"{site.node.name} is not a master"
        if value(site) == "true":
            return ""
        if not site.topology.ha.fencing:
            return "fencing is off already (`ha: {fencing: none}`)"
        on = " ".join((*ATTRIBUTE, "--update", "true"))
        return f"somebody turned fencing off already; on a master `{on}` turns it on"

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Set the property."""
        del active
        site.node.run([*ATTRIBUTE, "--update", "false"])

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The cluster says so."""
        del active
        return f"{PROPERTY} is false" if value(site) == "false" else ""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Turn fencing on again.

        The property is the cluster's, not the node's: any master that runs can set it.
        """
        del active
        masters = [site.node, *(other for other in site.others.values() if other.role == "master")]
        for node in masters:
            if not node.running:
                continue
            if node.run([*ATTRIBUTE, "--update", "true"], check=False).code == 0:
                return
        raise FaultError(
            "no master takes the order to turn fencing on", "power one on: `halab start`"
        )


FAULTS = (FencingOff(),)
