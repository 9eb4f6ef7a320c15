"""What the words of a report mean, for who reads one for the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.analysis.report.model import OutageRow

ABOUT = (
    "halab runs a small Kubernetes cluster whose machines are containers, breaks it on purpose, and measures what its users would have "
    "felt. This page tells one such run. Probes asked the services all the time, at fixed intervals; everything here is computed from "
    "what they saw."
)
WORDS = {
    "master, worker": "machines of the cluster: masters run the Kubernetes API and its store etcd, workers run the pods",
    "VIP": "the floating address of the API; one master at a time holds it (Corosync and Pacemaker decide which)",
    "lb": "the load balancer in front of the masters, another way to the API",
    "probe": "a question asked again and again; .new opens a connection each time, .kept keeps one open as most programs do",
    "fault": "what was broken on purpose; it fires, it acts, and it is healed",
    "fencing": "switching a machine off for certain before another one takes over its work",
    "outage": "from the last good answer before to the first lasting good answer after (five in a row), less one interval",
    "failover time": "from the fault to the moment at which somebody else had taken over",
    "etcd leader": "the member of the store that accepts writes; its term is counted up at each election",
    "linearizable": "every read gives the newest value, as if there were one copy of the data",
    "± (resolution)": "the true value lies so far around the figure: the interval at which was asked",
    "pass, fail, unknown": "expected and seen; expected and not so; too little was seen to say (never counted as a pass)",
}
OUTCOMES = {"pass": "PASSED", "fail": "FAILED", "unknown": "UNKNOWN"}
SERVICE_PROBES = ("service.pod", "service.lb", "dns.pod")
"""Probes, or prefixes of them, that ask a Service, whose endpoints may be on a dead node."""
SERVICE_OUTAGE = (
    "A client without a retry sees this until the dead node's endpoints are removed, "
    "that is until the node is NotReady."
)


def outage_notes(rows: Iterable[OutageRow]) -> list[str]:
    """Return what a reader must know about these outages: what a Service's is."""
    asked = sorted(row.probe for row in rows if row.count and _asks_service(row.probe))
    return [f"{', '.join(asked)}: {SERVICE_OUTAGE}"] if asked else []


def _asks_service(probe: str) -> bool:
    return any(probe == name or probe.startswith(f"{name}.") for name in SERVICE_PROBES)
