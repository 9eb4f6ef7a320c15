"""What a report says in words: its glossary, outcomes, and notes on outages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis.format import seconds
from lab.analysis.history import outage_causes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.analysis.history.outage_causes import OutageCause
    from lab.analysis.report.model import OutageRow

ABOUT = (
    "halab runs a small Kubernetes cluster whose machines are containers, breaks it on purpose, "
    "and measures what its users would have felt. This page describes one such run. Probes asked "
    "the services all the time, at fixed intervals; everything here is computed from what they saw."
)
TERMS = {
    "master, worker": "machines of the cluster: masters run the Kubernetes API and its store etcd, "
    "workers run the pods",
    "VIP": "the floating address of the API; one master at a time holds it (Corosync and Pacemaker "
    "decide which)",
    "lb": "the load balancer in front of the masters, another way to the API",
    "probe": "a question asked again and again; .new opens a connection each time, .kept keeps one "
    "open as most programs do",
    "fault": "what was broken on purpose; it fires, it acts, and it is healed",
    "fencing": "switching a machine off for certain before another one takes over its work",
    "outage": "from the last good answer before to the first lasting good answer after (five in a "
    "row), less one interval",
    "failover time": "from the fault to the moment at which somebody else had taken over",
    "etcd leader": "the member of the store that accepts writes; its term is counted up at each "
    "election",
    "linearizable": "every read returns the newest value, as if there were one copy of the data",
    "± (resolution)": "how far the true value may lie from the figure: the interval between two "
    "questions",
    "pass, fail, unknown": "as expected; not as expected; too little was seen to say (never "
    "counted as a pass)",
}
OUTCOMES = {"pass": "PASSED", "fail": "FAILED", "unknown": "UNKNOWN"}
SERVICE_PROBES = ("service.pod", "service.lb", "dns.pod")
"""Probes, or prefixes of probes, that ask a Service: its endpoints may be on a dead node."""
SERVICE_OUTAGE = (
    "A client without a retry sees this until the dead node's endpoints are removed, "
    "that is until the node is NotReady."
)


CAUSES = {
    outage_causes.DEAD: "to a dead endpoint",
    outage_causes.STALE: "to a stale endpoint",
    outage_causes.OWN: "while its own node was away",
    outage_causes.NO_ENDPOINT: "without an endpoint",
    outage_causes.LATE: "with an answer lost or late",
    outage_causes.ERROR: "with an error for an answer",
    outage_causes.NOT_ASKED: "not asked",
    outage_causes.UNKNOWN: "unknown",
}
"""Cause → how it reads after a number of outages."""
DEAD_ENDPOINT = {outage_causes.DEAD, outage_causes.STALE, outage_causes.UNKNOWN}
"""With other causes, no dead node's endpoint was asked."""
WHOSE = {
    outage_causes.DEAD: "the client's to mend: a retry goes to another pod",
    outage_causes.STALE: "the cluster's, for some seconds; a retry helps",
    outage_causes.OWN: "no Service can help its own clients there",
    outage_causes.NO_ENDPOINT: "the user's: more replicas, on more nodes",
    outage_causes.LATE: "the network's, a busy pod's or the busy host's; no trace tells which",
    outage_causes.ERROR: "the answering pod's",
}
"""Who can mend it."""


def outage_notes(rows: Iterable[OutageRow]) -> list[str]:
    """Return what a reader must know about these outages: which of them are a Service's, and why.

    Causes are given for those that were traced.
    """
    every = list(rows)
    asked = sorted(row.probe for row in every if row.count and _perhaps_dead_endpoint(row))
    notes = [f"{', '.join(asked)}: {SERVICE_OUTAGE}"] if asked else []
    notes += [_causes_of(row) for row in every if row.causes]
    shown = {cause.cause for row in every for cause in row.causes}
    return notes + [_meaning(cause) for cause in outage_causes.CAUSES if cause in shown]


def _causes_of(row: OutageRow) -> str:
    outages = "1 outage" if row.count == 1 else f"{row.count} outages"
    causes = [*map(_cause, row.causes)]
    rest = (row.count or 0) - sum(cause.outages for cause in row.causes)
    if rest:
        causes.append(f"{rest} not over at the trace's last line")
    return f"{row.probe}: {outages}, {seconds(row.total or 0)}: {', '.join(causes)}"


def _cause(cause: OutageCause) -> str:
    details = []
    if cause.cause in {outage_causes.DEAD, outage_causes.STALE} and cause.nodes:
        details.append(f"on {', '.join(cause.nodes)}")
    if cause.not_ready is not None:
        details.append(f"NotReady {cause.not_ready:.0f} s after the fault")
    unsure = cause.outages - cause.sure
    if unsure and cause.cause != outage_causes.UNKNOWN:
        details.append(f"{unsure} not for certain")
    more = f" ({', '.join(details)})" if details else ""
    return f"{cause.outages} {CAUSES[cause.cause]}{more}"


def _meaning(cause: str) -> str:
    whose = f"; {WHOSE[cause]}" if cause in WHOSE else ""
    return f"{cause}: {outage_causes.CAUSES[cause]}{whose}."


def _perhaps_dead_endpoint(row: OutageRow) -> bool:
    """Whether a dead node may have caused outages of this probe: traced, or not traced at all."""
    if row.causes:
        return any(cause.cause in DEAD_ENDPOINT for cause in row.causes)
    return any(row.probe == name or row.probe.startswith(f"{name}.") for name in SERVICE_PROBES)
