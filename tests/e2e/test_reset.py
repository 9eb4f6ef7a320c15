"""A lab that was used, changed and broken is what it was after its start again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from labs import Cli, Inside

USED = """
apiVersion: v1
kind: Namespace
metadata: {name: reset-shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: reset-shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: "halab/toolbox:1.0.0", imagePullPolicy: Never, command: [sleep, "999"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reset-extra}
rules: []
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shops.reset.example.com}
spec:
  group: reset.example.com
  names: {kind: Shop, plural: shops}
  scope: Namespaced
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""
SHOP = """
apiVersion: reset.example.com/v1
kind: Shop
metadata: {name: one, namespace: default, finalizers: [reset.example.com/nobody]}
"""


NAMES = "custom-columns=:metadata.name"
SHOPS = ("kubectl", "get", "shops.reset.example.com", "--no-headers", "-o", NAMES)


def held(inside: Inside) -> set[str]:
    """Return the names of what tests make: namespaces, definitions, roles, the DNS's replicas."""
    kinds = "namespaces,customresourcedefinitions,clusterroles"
    names = set(inside.kubectl("get", kinds, "-o", "name").split())
    words = ("get", "deployment", "coredns", "-n", "kube-system", "-o", "jsonpath={.spec.replicas}")
    return {*names, f"replicas {inside.kubectl(*words)}"}


def apply(inside: Inside, text: str) -> None:
    quoted = text.replace("'", "'\\''")
    inside.run("m", "sh", "-c", f"printf %s '{quoted}' | kubectl apply -f -")


@pytest.mark.distribution
def test_lab_is_what_it_was_after_its_start(inside: Inside, halab: Cli) -> None:
    halab("reset", inside.lab)  # what other tests left
    before = held(inside)
    apply(inside, USED)
    inside.kubectl("wait", "--for=condition=Established", "crd/shops.reset.example.com")
    apply(inside, SHOP)
    # Each API server learns of a new type by itself. Reset asks for those that it is not told of,
    # but was seen once not to name an instance that was a second old.
    for master in inside.topology.masters:
        inside.eventually(
            f"{master.name} has the shop",
            lambda name=master.name: inside.try_run(name, *SHOPS)[1].strip() == "one",
        )
    inside.kubectl("scale", "deployment", "coredns", "-n", "kube-system", "--replicas=0")
    assert held(inside) != before
    halab("fault", "inject", inside.lab, "partition", "w1")
    told: Any = halab.json("reset", inside.lab)
    assert told["healed"] == ["partition at w1"]
    assert {"reset-shop", "reset-extra", "shops.reset.example.com", "one"} == {
        row["name"] for row in told["removed"]
    }
    assert [row["name"] for row in told["restored"]] == ["coredns"]
    assert held(inside) == before
    status = inside.status()
    assert not status["faults"]
    assert {row["kubernetes"] for row in status["nodes"] if row["role"] != "loadbalancer"} == {
        "Ready"
    }
    # Nothing is left to be done.
    assert halab.json("reset", inside.lab, "--dry-run")["changed"] is False
