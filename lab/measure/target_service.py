"""Makes, awaits and removes what the instrument has in the cluster.

The manifests are those of lab/measure/manifests.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.base.errors import InputError
from lab.base.wait import Observation, tried, until
from lab.measure import manifests
from lab.measure.probe import SPACE, ProbeContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.kube.api import Cluster
    from lab.topology.model import Topology

READY_S = 180.0
"""For six pods of an image that every node has: some seconds on a quiet machine.

On two cores with a second lab that started, and a test run, one of three was ready after 92 s.
"""
GONE_S = 300.0
"""For the namespace to vanish. Pods take two seconds to end; what half an hour of writing left is
some 20,000 objects, and took more than a minute."""
EVERY_S = 0.3


def make(cluster: Cluster, topology: Topology, say: Callable[[str], None]) -> ProbeContext:
    """Make the test Service, wait until its pods are ready, and return where it is.

    Raises WaitTimeout.
    """
    say("making the test Service")
    cluster.apply([manifests.namespace(), *manifests.registers(), *manifests.web()])
    path = f"/apis/apps/v1/namespaces/{SPACE}/deployments/{manifests.SERVICE}"
    _await(
        f"the pods of Service {SPACE}/{manifests.SERVICE}",
        lambda: _count(cluster, path, "readyReplicas", manifests.REPLICAS),
        READY_S,
        say,
    )
    spec = cluster.get(f"/api/v1/namespaces/{SPACE}/services/{manifests.SERVICE}")["spec"]
    return ProbeContext(
        topology=topology, service_ip=spec["clusterIP"], node_port=spec["ports"][0]["nodePort"]
    )


def await_askers(cluster: Cluster, pods: int, say: Callable[[str], None]) -> None:
    """Wait until so many asking pods run. Raises WaitTimeout."""
    path = f"/apis/apps/v1/namespaces/{SPACE}/daemonsets/{manifests.ASKER}"
    if pods:
        _await("the asking pods", lambda: _count(cluster, path, "numberReady", pods), READY_S, say)


def remove(cluster: Cluster, say: Callable[[str], None]) -> None:
    """Remove the namespace and wait until it is gone; one that is not there is fine.

    Raises LabError where the API does not answer.
    """

    def left() -> list[dict[str, Any]]:
        return [
            item
            for item in cluster.get("/api/v1/namespaces")["items"]
            if item["metadata"]["name"] == SPACE
        ]

    def gone() -> Observation:
        spaces = left()
        return Observation(ok=not spaces, detail="; ".join(map(_remaining, spaces)))

    if left():
        cluster.request(
            "DELETE", f"/api/v1/namespaces/{SPACE}", {"propagationPolicy": "Background"}
        )
        _await(f"namespace {SPACE} gone", gone, GONE_S, say)


def _remaining(space: dict[str, Any]) -> str:
    """Say what keeps a namespace, in the words of its controller."""
    conditions = space.get("status", {}).get("conditions", ())
    messages = [
        row.get("message", "")
        for row in conditions
        if row.get("type") == "NamespaceContentRemaining" and row.get("status") == "True"
    ]
    return f"namespace {SPACE} is still there{'. ' if messages else ''}{' '.join(messages)}"


def _count(cluster: Cluster, path: str, field: str, expected: int) -> Observation:
    count = cluster.get(path).get("status", {}).get(field, 0)
    name = path.rsplit("/", 1)[1]
    return Observation(
        ok=count >= expected, detail=f"{count} of {expected} pods of {name} are ready"
    )


def _await(
    what: str, ask: Callable[[], Observation], timeout_s: float, say: Callable[[str], None]
) -> None:
    """An API that does not answer once is reported, and asked again until the time is over."""
    until(what, lambda: tried(ask), timeout_s=timeout_s, every_s=EVERY_S, on_change=say)


def agent_ip(topology: Topology) -> str:
    """Return the highest free address below the pool of Services: nodes are seldom up there.

    Raises InputError where none is left.
    """
    network, services = topology.network, set(topology.service_addresses)
    used = {node.ip for node in topology.machines} | {network.vip, network.gateway} | services
    for ip in reversed(list(network.subnet.hosts())):
        if ip not in used:
            return str(ip)
    hint = "make the lab anew with a larger subnet, or a smaller network.pool"
    raise InputError(f"{network.subnet} has no free address for the instrument", hint)
