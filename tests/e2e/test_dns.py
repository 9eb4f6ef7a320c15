"""The cluster's DNS: each node is answered on the node itself, and by the others where it cannot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from labs import Inside

NAME = "kubernetes.default.svc.cluster.local"
OWN = ("-n", "kube-system", "get", "daemonset", "node-dns", "-o", "json")
NODE = "w2"
QUESTIONS = 20


def own(inside: Inside) -> Any:
    return json.loads(inside.kubectl(*OWN))["status"]


def answered(inside: Inside, node: str) -> bool:
    address = str(inside.topology.kubernetes.cluster_dns)
    return inside.try_run(node, "busybox", "nslookup", NAME, address)[0] == 0


def asked(inside: Inside, node: str) -> float:
    """How many questions the CoreDNS of a node's own was asked so far, by what it counts itself."""
    select = ("-l", "k8s-app=node-dns", "--field-selector", f"spec.nodeName={node}")
    pods = inside.kubectl("-n", "kube-system", "get", "pods", *select, "-o", "json")
    address = json.loads(pods)["items"][0]["status"]["podIP"]
    told = inside.run(node, "curl", "-s", "--max-time", "10", f"http://{address}:9153/metrics")
    rows = [line for line in told.splitlines() if line.startswith("coredns_dns_requests_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in rows)


def patch(inside: Inside, selector: str) -> None:
    change = f'{{"spec": {{"template": {{"spec": {{"nodeSelector": {selector}}}}}}}}}'
    words = ("-n", "kube-system", "patch", "daemonset", "node-dns", "--type", "merge")
    inside.kubectl(*words, "-p", change)


@pytest.mark.distribution
def test_a_node_is_answered_by_its_own_dns(inside: Inside) -> None:
    nodes = len(inside.topology.nodes)
    inside.eventually("each node has its own DNS", lambda: own(inside)["numberReady"] == nodes)
    # kube-proxy may need a moment until it has heard of the last one.
    inside.eventually("DNS answers", lambda: answered(inside, NODE))
    before = asked(inside, NODE)
    for _ in range(QUESTIONS):
        assert answered(inside, NODE)
    assert asked(inside, NODE) - before >= QUESTIONS


def test_a_node_without_its_own_dns_is_answered_by_the_replicas(inside: Inside) -> None:
    nodes = len(inside.topology.nodes)
    patch(inside, '{"no-such": "label"}')
    try:
        inside.eventually("no node has its own DNS", lambda: own(inside)["currentNumberScheduled"] == 0)
        inside.eventually("the replicas answer", lambda: answered(inside, NODE))
    finally:
        patch(inside, "null")
    inside.eventually("each node has its own DNS again", lambda: own(inside)["numberReady"] == nodes)
