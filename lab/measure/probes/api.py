"""Does the API answer: through the VIP, the load balancer, and at each master.

Asked over new connections and kept ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.measure.probe import API, INTERVAL_S, ProbeSpec
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from lab.measure.probe import ProbeContext


SINGLE_S = 0.1
"""Single masters show which one fails. They are asked less often than what users reach: each
question costs an API server 1.6 ms of a core (measured)."""


@dataclass(frozen=True, slots=True)
class Api:
    """GET /readyz: the API server says itself whether it can serve, its etcd included."""

    summary: str = "whether the API server can serve, through VIP, load balancer and each master"

    def rows(self, context: ProbeContext) -> tuple[ProbeSpec, ...]:
        """New and kept connections through VIP and load balancer; new ones to each master."""
        topology = context.topology
        places = {"vip": str(topology.network.vip), "lb": str(topology.loadbalancer.ip)}
        shared = [
            _row(f"api.{way}.{how}", ip, how)
            for way, ip in places.items()
            for how in ("new", "kept")
        ]
        return (
            *shared,
            *(
                _row(f"api.{node.name}.new", str(node.ip), "new", SINGLE_S)
                for node in topology.masters
            ),
        )


def _row(name: str, ip: str, connection: str, interval: float = INTERVAL_S) -> ProbeSpec:
    address = f"{ip}:{KUBERNETES_PORT}"
    how = {
        "new": "on a new connection each time",
        "kept": "on a kept connection, reopened after a failure",
    }[connection]
    settings = {
        "kind": "https",
        "addresses": [address],
        "path": "/readyz",
        "identity": API,
        "codes": [200],
    }
    return ProbeSpec(
        name=name,
        settings=settings,
        question=f"GET https://{address}/readyz {how}",
        interval=interval,
        connection=connection,
    )


QUESTION = Api()
