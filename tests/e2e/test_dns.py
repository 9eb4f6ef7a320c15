"""The cluster's DNS: each node is answered on the node, and by the others where it cannot be."""

from __future__ import annotations

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labs import Inside

NAME = "kubernetes.default.svc.cluster.local"
OWN = ("-n", "kube-system", "get", "daemonset", "node-dns", "-o", "json")
PODS = ("-n", "kube-system", "get", "pods", "-l", "k8s-app=node-dns")
NODE = "w2"
QUESTIONS = 5
FLOOD = Path(__file__).with_name("dns_flood.py")
RATE = 500
"""Questions a second, of one node."""


def own(inside: Inside) -> Any:
    return json.loads(inside.kubectl(*OWN))["status"]


def answered(inside: Inside, node: str) -> bool:
    address = str(inside.topology.kubernetes.cluster_dns)
    return inside.try_run(node, "busybox", "nslookup", NAME, address)[0] == 0


def asked(inside: Inside, node: str) -> float:
    """How many questions the CoreDNS of a node's own was asked so far, by what it counts itself."""
    pods = inside.kubectl(*PODS, "--field-selector", f"spec.nodeName={node}", "-o", "json")
    address = json.loads(pods)["items"][0]["status"]["podIP"]
    told = inside.run(node, "curl", "-s", "--max-time", "10", f"http://{address}:9153/metrics")
    rows = [line for line in told.splitlines() if line.startswith("coredns_dns_requests_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in rows)


def patch(inside: Inside, selector: str) -> None:
    change = f'{{"spec": {{"template": {{"spec": {{"nodeSelector": {selector}}}}}}}}}'
    words = ("-n", "kube-system", "patch", "daemonset", "node-dns", "--type", "merge")
    inside.kubectl(*words, "-p", change)


def answers_by_itself(inside: Inside, node: str) -> bool:
    """Whether a node's own CoreDNS was asked what the node asks: kube-proxy may hear of it late."""
    before = asked(inside, node)
    answers = [answered(inside, node) for _ in range(QUESTIONS)]
    return all(answers) and asked(inside, node) - before >= QUESTIONS


@pytest.mark.distribution
def test_a_node_is_answered_by_its_own_dns(inside: Inside) -> None:
    nodes = len(inside.topology.nodes)
    inside.eventually("each node has its own", lambda: own(inside)["numberReady"] == nodes)
    inside.eventually("it answers the node", lambda: answers_by_itself(inside, NODE))


def test_a_node_without_its_own_dns_is_answered_by_the_replicas(inside: Inside) -> None:
    nodes = len(inside.topology.nodes)
    patch(inside, '{"no-such": "label"}')
    try:
        inside.eventually("none is left", lambda: not inside.kubectl(*PODS, "-o", "name"))
        inside.eventually("the replicas answer", lambda: answered(inside, NODE))
    finally:
        patch(inside, "null")
    inside.eventually("each node has its own", lambda: own(inside)["numberReady"] == nodes)


@contextlib.contextmanager
def asked_all_the_time(inside: Inside) -> Iterator[dict[str, int]]:
    """Ask on a node while the body runs; what came of it stands in the dictionary afterwards."""
    figures: dict[str, int] = {}
    stop = f"/run/dns-flood-{time.monotonic_ns()}"
    server = str(inside.topology.kubernetes.cluster_dns)
    argv = ("python3", "-c", FLOOD.read_text(), server, NAME, str(RATE), stop)
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(inside.run, NODE, *argv)
        try:
            yield figures
        finally:
            inside.run(NODE, "touch", stop)
            figures.update(json.loads(flood.result()))
            inside.run(NODE, "rm", stop)


def is_updated(inside: Inside) -> bool:
    spec = json.loads(inside.kubectl(*OWN))
    status, nodes = spec["status"], len(inside.topology.nodes)
    observed = status["observedGeneration"] == spec["metadata"]["generation"]
    counts = (status.get("updatedNumberScheduled"), status.get("numberReady"))
    return bool(observed and counts == (nodes, nodes) and len(own_pods(inside)) == nodes)


def own_pods(inside: Inside) -> list[Any]:
    return list(json.loads(inside.kubectl(*PODS, "-o", "json"))["items"])


def test_an_update_of_the_nodes_dns_loses_no_question(inside: Inside) -> None:
    with asked_all_the_time(inside) as figures:
        inside.kubectl("-n", "kube-system", "rollout", "restart", "daemonset/node-dns")
        inside.eventually("all are updated", lambda: is_updated(inside), timeout=300)
    assert figures["asked"] > 0
    assert figures["lost"] == 0, figures


def test_a_nodes_dns_that_is_out_of_memory_loses_no_question(inside: Inside) -> None:
    """The kernel ends a process without memory by SIGKILL; its container begins anew."""

    def restarts() -> int:
        (pod,) = [each for each in own_pods(inside) if each["spec"]["nodeName"] == NODE]
        return int(pod["status"]["containerStatuses"][0]["restartCount"])

    before = restarts()
    with asked_all_the_time(inside) as figures:
        inside.run(NODE, "sh", "-c", 'kill -9 $(pgrep -f "^/?coredns -conf")')
        inside.eventually("it began anew", lambda: restarts() > before, timeout=120)
        inside.eventually("it answers the node", lambda: answers_by_itself(inside, NODE))
    assert figures["asked"] > 0
    assert figures["lost"] == 0, figures
