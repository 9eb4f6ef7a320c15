"""Does a watch see everything.

Two clients listen to what the others write, and resume after each cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.measure.probe import API, LABEL, SPACE, ProbeSpec
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from lab.measure.probe import ProbeContext

SILENCE_S = 2.0
"""The clients write many times a second: a watch that gets nothing for two seconds has lost its
server, and reconnects."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Watches on the ConfigMaps of the writing clients."""

    summary: str = "a watch through VIP and load balancer, resumed after each cut"

    def rows(self, context: ProbeContext) -> tuple[ProbeSpec, ...]:
        """One through the VIP, one through the load balancer."""
        topology = context.topology
        places = {"vip": topology.network.vip, "lb": topology.loadbalancer.ip}
        shared = {
            "kind": "watch",
            "identity": API,
            "namespace": SPACE,
            "label": LABEL,
            "silence": SILENCE_S,
        }
        return tuple(
            ProbeSpec(
                name=name,
                settings={**shared, "addresses": [f"{ip}:{KUBERNETES_PORT}"]},
                client=True,
                probe=name,
            )
            for name, ip in ((f"watch.{way}", ip) for way, ip in places.items())
        )


QUESTION = Watch()
