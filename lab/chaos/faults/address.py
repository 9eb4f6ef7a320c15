"""Faults of the floating address: lost by its holder, or claimed by a second machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import FaultError
from lab.chaos import node_program
from lab.chaos.fault import Base, same_life
from lab.chaos.script import Script
from lab.nodes.ha.cib import VIP_RESOURCE

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

DROP = Script(
    "drop-address",
    """
ip addr del "$1/32" dev eth0 && ip -4 -o addr show dev eth0
""",
)
CLAIM = Script(
    "claim-address",
    """
ip addr add "$1/32" dev eth0
{
    arping -q -U -c 1 -I eth0 "$1"
    arping -q -A -c 1 -I eth0 "$1"
} >/dev/null
ip -4 -o addr show dev eth0
""",
)
"""Announces it by an unsolicited request and an unsolicited answer: some neighbours heed only one
of them."""
RELEASE = Script(
    "release-address",
    """
address=$1 resource=$2 node=$3
crm_resource --resource "$resource" --locate 2>/dev/null | grep -qw "$node" ||
    ip addr del "$address/32" dev eth0
""",
)
"""Removes the address, unless Pacemaker put it there."""
ANNOUNCE = Script(
    "announce-address",
    """
ip -4 -o addr show dev eth0 | grep -q " $1/" && {
    arping -q -U -c 1 -I eth0 "$1"
    arping -q -A -c 1 -I eth0 "$1"
}
""",
)
"""Announces the address if the machine has it."""


def held(site: FaultSite) -> bool:
    """Whether the node has the floating address."""
    show = ["ip", "-4", "-o", "addr", "show", "dev", "eth0"]
    return f" {site.topology.network.vip}/" in site.node.run(show, check=False).output


@dataclass(frozen=True)
class VipLost(Base):
    """The floating address vanishes from its holder; Pacemaker's monitor restores it."""

    name: str = "vip-lost"
    summary: str = "take the floating address off a machine; Pacemaker brings it back"

    def check(self, site: FaultSite, options: Options) -> str:
        """It must hold the address."""
        del options
        return "" if held(site) else f"{site.node.name} does not hold the VIP (target @vip-holder)"

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Remove it, and see at once that it is gone: Pacemaker may be quick."""
        del active
        vip = str(site.topology.network.vip)
        if f" {vip}/" in DROP.run(site.node, vip).output:
            raise FaultError(f"{site.node.name} still holds {vip}")

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """`inject` has seen that it is gone."""
        del active
        return f"{site.node.name} lost {site.topology.network.vip}"

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Pacemaker does."""


@dataclass(frozen=True)
class VipDoubled(Base):
    """A second machine has the floating address and announces it: what fencing must prevent."""

    name: str = "vip-doubled"
    summary: str = "let a machine claim the floating address that another one holds"
    needs: str = "arping on the node"

    def missing(self, site: FaultSite) -> str:
        """Neighbours must hear of it."""
        return "" if node_program.exists(site, "arping") else "its image has no arping"

    def check(self, site: FaultSite, options: Options) -> str:
        """Another one must hold it."""
        del options
        return f"{site.node.name} holds the VIP itself" if held(site) else ""

    def inject(self, site: FaultSite, active: ActiveFault) -> str | None:
        """Take the address, and announce it as a new holder would; the interface shows it."""
        del active
        vip = str(site.topology.network.vip)
        addresses = CLAIM.run(site.node, vip).output
        return f"{site.node.name} claims {vip}, too" if f" {vip}/" in addresses else None

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """Only `inject` can see it: an address that Pacemaker has removed was there too briefly."""
        del site, active
        return ""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Remove the address; the holder announces itself.

        If Pacemaker has put it there meanwhile, it stays: then the machine holds it rightfully.

        Neighbours that believe the false claim would go on believing it: the machine forwards their
        first packet to the holder, whose answer confirms the entry, and then drops what belongs to
        no connection that it knows (measured: a worker stayed NotReady for twenty minutes).
        """
        vip = str(site.topology.network.vip)
        if same_life(site, active):
            RELEASE.run(site.node, vip, VIP_RESOURCE, site.node.name, check=False)
        for node in (site.node, *site.others.values()):
            if node.role == "master" and node.running:
                ANNOUNCE.run(node, vip, check=False)


FAULTS = (VipLost(), VipDoubled())
