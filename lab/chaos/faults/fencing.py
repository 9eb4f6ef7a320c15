"""The fault that is a setting: fencing off for a while, to see what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.chaos.fault import Base

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

PROPERTY = "stonith-enabled"


def value(site: FaultSite, text: str = "") -> str:
    """Return the cluster's property, set first where a text is given."""
    argv = [
        "crm_attribute",
        "--type",
        "crm_config",
        "--name",
        PROPERTY,
        *(["--update", text] if text else ["--query", "--quiet"]),
    ]
    return site.node.run(argv).output.strip()


@dataclass(frozen=True)
class FencingOff(Base):
    """Nobody is shot: a lost master's address is taken over on the guess that it is dead."""

    name: str = "fencing-off"
    summary: str = "turn fencing off in the whole cluster; target any master that runs"

    def check(self, site: FaultSite, options: Options) -> str:
        """It must be on, and the node a member."""
        del options
        if site.node.role != "master":
            return f"{site.node.name} is no master"
        return "" if value(site) == "true" else "fencing is off already (`ha: {fencing: none}`)"

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Set the property."""
        del active
        value(site, "false")

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The cluster says so."""
        del active
        return f"{PROPERTY} is false" if value(site) == "false" else ""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Set it again.

        A property is the cluster's, not the node's: any master that runs can do it.
        """
        del active
        places = [site.node, *(other for other in site.others.values() if other.role == "master")]
        for node in places:
            if site.engine.inspect(node.container)["State"]["Status"] == "running":
                argv = [
                    "crm_attribute",
                    "--type",
                    "crm_config",
                    "--name",
                    PROPERTY,
                    "--update",
                    "true",
                ]
                if node.run(argv, check=False).code == 0:
                    return
        from lab.base.errors import FaultError

        raise FaultError(
            "no master takes the order to turn fencing on", "power one on: `halab start`"
        )


FAULTS = (FencingOff(),)
