"""Who holds the floating address.

Everybody on the network is asked, and all who answer are recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.measure.probe import ProbeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.measure.probe import ProbeContext

NAME = "vip.arp"
ARP_S = 0.1
"""Seconds between two requests, in which answers are collected."""


@dataclass(frozen=True, slots=True)
class Vip:
    """ARP: what a router or a client would learn.

    Two answers are a split brain that no question to one address can see.
    """

    summary: str = "which nodes answer ARP for the VIP"

    def rows(self, context: ProbeContext) -> tuple[ProbeSpec, ...]:
        """One request every tenth of a second."""
        vip = str(context.topology.network.vip)
        settings = {"kind": "arp", "interface": "eth0", "query": vip}
        return (
            ProbeSpec(
                name=NAME,
                settings=settings,
                question=f"ARP who-has {vip}: the nodes that answer",
                interval=ARP_S,
            ),
        )


def named(macs: list[str], nodes: Mapping[str, str]) -> list[str]:
    """Return the nodes of MAC addresses; an address of no node stays as it is.

    `nodes`: MAC → node.
    """
    return [nodes.get(mac, mac) for mac in macs]


QUESTION = Vip()
