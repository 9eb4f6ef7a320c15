"""Makes, awaits and removes the instrument's objects in the cluster.

The manifests are those of lab/measure/manifests.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.base.errors import InputError
from lab.base.wait import Observation, tried, until
from lab.measure import manifests
from lab.measure.probe import SPACE, ProbeContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.kube.api import KubeApi
    from lab.topology.model import Topology

READY_S = 180.0
"""For six pods of an image that every node has: some seconds on a quiet machine.

On two cores, with a second lab starting and tests running, one of three was ready after 92 s.
"""
GONE_S = 300.0
"""For the namespace to vanish. Pods take two seconds to end; the 20,000 objects or so that half an
hour of writing leaves took more than a minute."""
EVERY_S = 0.3


def make(cluster: KubeApi, topology: Topology, say: Callable[[str], None]) -> ProbeContext:
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


def await_askers(cluster: KubeApi, pods: int, say: Callable[[str], None]) -> None:
    """Wait until so many asking pods run. Raises WaitTimeout."""
    path = f"/apis/apps/v1/namespaces/{SPACE}/daemonsets/{manifests.ASKER}"
    if pods:
        _await("the asking pods", lambda: _count(cluster, path, "numberReady", pods), READY_S, say)


def exists(cluster: KubeApi) -> bool:
    """Whether the instrument's namespace is there. Raises LabError if the API does not answer."""
    return bool(_spaces(cluster))


def remove(cluster: KubeApi, say: Callable[[str], None]) -> None:
    """Remove the namespace, if there is one, and wait until it is gone.

    Raises LabError if the API does not answer.
    """

    def gone() -> Observation:
        spaces = _spaces(cluster)
        return Observation(ok=not spaces, detail="; ".join(map(_remaining, spaces)))

    if _spaces(cluster):
        cluster.request(
            "DELETE", f"/api/v1/namespaces/{SPACE}", {"propagationPolicy": "Background"}
        )
        _await(f"namespace {SPACE} gone", gone, GONE_S, say)


def _spaces(cluster: KubeApi) -> list[dict[str, Any]]:
    items = cluster.get("/api/v1/namespaces")["items"]
    return [item for item in items if item["metadata"]["name"] == SPACE]


def _remaining(space: dict[str, Any]) -> str:
    """Return what keeps a namespace, in the words of its controller."""
    conditions = space.get("status", {}).get("conditions", ())
    messages = [
        row.get("message", "")
        for row in conditions
        if row.get("type") == "NamespaceContentRemaining" and row.get("status") == "True"
    ]
    return f"namespace {SPACE} is still there{'. ' if messages else ''}{' '.join(messages)}"


def _count(cluster: KubeApi, path: str, field: str, expected: int) -> Observation:
    count = cluster.get(path).get("status", {}).get(field, 0)
    name = path.rsplit("/", 1)[1]
    return Observation(
        ok=count >= expected, detail=f"{count} of {expected} pods of {name} are ready"
    )


def _await(
    what: str, ask: Callable[[], Observation], timeout_s: float, say: Callable[[str], None]
) -> None:
    """Wait; an API that does not answer is reported, and asked again until the time is over."""
    until(what, lambda: tried(ask), timeout_s=timeout_s, every_s=EVERY_S, on_change=say)


def agent_ip(topology: Topology) -> str:
    """Return the highest free address below the pool of Services: nodes rarely are up there.

    Raises InputError if none is left.
    """
    for ip in free_ips(topology):
        return ip
    hint = "recreate the lab with a larger subnet, or a smaller network.pool"
    raise InputError(f"{topology.network.subnet} has no free address for the instrument", hint)


def free_ips(topology: Topology) -> Iterator[str]:
    """Yield the addresses that nothing of the topology has, the highest first."""
    network, services = topology.network, set(topology.service_addresses)
    used = {node.ip for node in topology.machines} | {network.vip, network.gateway} | services
    for ip in reversed(list(network.subnet.hosts())):
        if ip not in used:
            yield str(ip)
