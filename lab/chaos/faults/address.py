"""Faults of the floating address: lost by its holder, or claimed by a second machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import FaultError
from lab.chaos.fault import Base, same_life
from lab.nodes.ha.cib import VIP_RESOURCE

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options


def held(site: FaultSite) -> bool:
    """Whether the node has the floating address."""
    vip = str(site.topology.network.vip)
    return (
        f" {vip}/"
        in site.node.run(["ip", "-4", "-o", "addr", "show", "dev", "eth0"], check=False).output
    )


@dataclass(frozen=True)
class VipLost(Base):
    """The floating address vanishes from its holder; Pacemaker's monitor sees it and brings it back."""

    name: str = "vip-lost"
    summary: str = "take the floating address off a machine; Pacemaker brings it back"

    def check(self, site: FaultSite, options: Options) -> str:
        """It must hold the address."""
        del options
        return "" if held(site) else f"{site.node.name} does not hold the VIP (target @vip-holder)"

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Remove it, and see at once that it is gone: Pacemaker may be quick."""
        del active
        vip = site.topology.network.vip
        shown = site.node.run(
            ["sh", "-c", f"ip addr del {vip}/32 dev eth0 && ip -4 -o addr show dev eth0"]
        ).output
        if f" {vip}/" in shown:
            raise FaultError(f"{site.node.name} still holds {vip}")

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """`inject` has seen it gone."""
        del active
        return f"{site.node.name} lost {site.topology.network.vip}"

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Pacemaker does."""


@dataclass(frozen=True)
class VipDoubled(Base):
    """A second machine has the floating address, too, and says so: what fencing must prevent, made on purpose."""

    name: str = "vip-doubled"
    summary: str = "let a machine claim the floating address that another one holds"
    needs: str = "arping on the node"

    def missing(self, site: FaultSite) -> str:
        """Neighbours must hear of it."""
        there = site.node.run(["sh", "-c", "command -v arping"], check=False).code == 0
        return "" if there else "its image has no arping"

    def check(self, site: FaultSite, options: Options) -> str:
        """Another one must hold it."""
        del options
        return f"{site.node.name} holds the VIP itself" if held(site) else ""

    def inject(self, site: FaultSite, active: ActiveFault) -> str | None:
        """Take the address, and announce it as a new holder would; proven by what the interface shows."""
        del active
        vip = site.topology.network.vip
        shown = site.node.run(
            [
                "sh",
                "-c",
                f"ip addr add {vip}/32 dev eth0; {{ {_announce(vip)}; }} >/dev/null; ip -4 -o addr show dev eth0",
            ]
        ).output
        return f"{site.node.name} claims {vip}, too" if f" {vip}/" in shown else None

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """`inject` has seen it; one that Pacemaker took away again was there, but claimed for too short a time."""
        del site, active
        return ""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Let go of it, unless Pacemaker has meanwhile put it there: then it is this machine's by right. The holder announces itself.

        Neighbours that believe the false claim would go on so: the machine passes their first packet on to the holder, whose answer confirms
        the entry, and then drops what belongs to no connection that it knows (measured: a worker stayed NotReady for twenty minutes).
        """
        vip = site.topology.network.vip
        if same_life(site, active):
            right = f"crm_resource --resource {VIP_RESOURCE} --locate 2>/dev/null | grep -qw {site.node.name}"
            site.node.run(["sh", "-c", f"{right} || ip addr del {vip}/32 dev eth0"], check=False)
        for node in (site.node, *site.others.values()):
            if (
                node.role == "master"
                and site.engine.inspect(node.container)["State"]["Status"] == "running"
            ):
                node.run(
                    [
                        "sh",
                        "-c",
                        f"ip -4 -o addr show dev eth0 | grep -q ' {vip}/' && {{ {_announce(vip)}; }}",
                    ],
                    check=False,
                )


def _announce(vip: object) -> str:
    """Say that the address is here now: a request and an answer that nobody asked for, as neighbours may heed only one of them."""
    return f"arping -q -U -c 1 -I eth0 {vip}; arping -q -A -c 1 -I eth0 {vip}"


FAULTS = (VipLost(), VipDoubled())
