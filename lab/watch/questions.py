"""What a watch samples by itself: little, so that it may run beside everything. Pure.

It writes nothing into the cluster. The rows of writes and of the test Service come from a
scenario's own instrument, and so are in replays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lab.measure import probes
from lab.measure.probe import ProbeContext, ProbeSpec
from lab.measure.probes.dns import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.topology.model import Node, Topology

ASKED = ("api", "etcd", "vip.arp", "nodes")
"""Of lab/measure/probes: what needs nothing in the cluster."""
USERS_S, SINGLE_S = 0.25, 0.5
"""What users reach is asked every quarter of a second, single servers and nodes half as often: all
of it together costs a lab some hundredths of a core."""
SERVICE_PORT = 443


def outside(topology: Topology, more: Iterable[ProbeSpec] = ()) -> tuple[ProbeSpec, ...]:
    """Return what the agent on the lab's network asks; `more` are the user's own probes."""
    rows = probes.rows(ProbeContext(topology=topology), ASKED)
    single = {f"api.{node.name}.new" for node in topology.masters} | {"nodes"}
    own = [replace(row, interval=SINGLE_S if row.name in single else USERS_S) for row in rows]
    return (*own, *(replace(row, interval=USERS_S) for row in more))


def on_node(topology: Topology, node: Node) -> tuple[ProbeSpec, ...]:
    """Return what a node asks from its own network: a Service by its address, and DNS.

    kube-proxy takes both to their pods, as it does for pods.
    """
    kubernetes = topology.kubernetes
    service = f"{kubernetes.service_cidr[1]}:{SERVICE_PORT}"
    server = f"{kubernetes.cluster_dns}:53"
    return (
        ProbeSpec(
            name=f"service.node.{node.name}",
            settings={"kind": "tcp", "addresses": [service]},
            question=f"connect to Service kubernetes at {service} from {node.name}",
            interval=SINGLE_S,
            connection="new",
        ),
        ProbeSpec(
            name=f"dns.node.{node.name}",
            settings={"kind": "dns", "addresses": [server], "query": NAME},
            question=f"A {NAME} at {server}, UDP, from {node.name}",
            interval=SINGLE_S,
        ),
    )
