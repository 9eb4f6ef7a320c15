"""The instrument's objects in the cluster, as manifests. Pure.

A Service with three pods behind it, and a pod on each node that asks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab.measure.agent_config import configuration
from lab.measure.probe import LABEL, REGISTERS, SPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.measure.probe import ProbeSpec

SERVICE = "web"
ASKER = "asker"
REPLICAS = 3
PORT = 8080
IMAGE = "halab/toolbox:1.0.0"
"""Named in images/versions.yaml; a unit test compares the two. It is in every node's image: nothing
is pulled."""
PROGRAM = "/usr/local/bin/halab-probe"
"""The agent, on every node's disk. Pods mount it, so that they run that of the node's image."""
FOLDER = "/var/lib/halab/probe"
"""On the node's disk, where samples survive their pod and the node's death."""

Manifest = dict[str, Any]


def initial(key: str) -> str:
    """Return what a register holds before any client writes to it."""
    return f"{key}-initial"


def namespace() -> Manifest:
    """Return the instrument's namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}


def registers() -> tuple[Manifest, ...]:
    """Return the ConfigMaps that several clients rewrite."""
    key, value = LABEL.split("=")
    return tuple(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**_meta(name), "labels": {key: value}},
            "data": {"value": initial(name)},
        }
        for name in REGISTERS
    )


def web() -> tuple[Manifest, ...]:
    """Return the Service and its Deployment, which replaces pods of a dead node elsewhere."""
    labels = {"app": SERVICE}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    answering = _container("web", [PROGRAM_IN_POD, "serve", f":{PORT}"])
    ready = {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 2}
    pod = {**_pod({**answering, "readinessProbe": ready}), "topologySpreadConstraints": [spread]}
    service = {
        "type": "NodePort",
        "selector": labels,
        "ports": [{"port": 80, "targetPort": PORT, "protocol": "TCP"}],
    }
    deployment = {
        "replicas": REPLICAS,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return (
        {"apiVersion": "v1", "kind": "Service", "metadata": _meta(SERVICE), "spec": service},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _meta(SERVICE),
            "spec": deployment,
        },
    )


PROGRAM_IN_POD = "/halab-probe"


def askers(rows: Sequence[ProbeSpec], run: str) -> tuple[Manifest, ...]:
    """Return a DaemonSet whose pods ask what is to be asked from their node.

    They write into a file of this run. Empty if no pod has anything to ask.
    """
    nodes = sorted({row.pod for row in rows if row.pod})
    if not nodes:
        return ()
    output = f"{FOLDER}/{run}.jsonl"
    data = {
        f"{node}.json": json.dumps(
            configuration([row for row in rows if row.pod == node], output=output)
        )
        for node in nodes
    }
    labels = {"app": ASKER}
    asking = _container("asker", [PROGRAM_IN_POD, "/configuration/$(NODE).json"])
    asking["env"] = [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    asking["volumeMounts"] += [
        {"name": "configuration", "mountPath": "/configuration", "readOnly": True},
        {"name": "samples", "mountPath": FOLDER},
    ]
    pod = _pod(asking)
    pod["volumes"] += [
        {"name": "configuration", "configMap": {"name": ASKER}},
        {"name": "samples", "hostPath": {"path": FOLDER, "type": "DirectoryOrCreate"}},
    ]
    on_nodes = {"key": "kubernetes.io/hostname", "operator": "In", "values": nodes}
    pod["affinity"] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [on_nodes]}]
            }
        }
    }
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta(ASKER), "data": data},
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": _meta(ASKER), "spec": spec},
    )


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": SPACE}


def _container(name: str, command: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": command,
        "volumeMounts": [{"name": "program", "mountPath": PROGRAM_IN_POD, "readOnly": True}],
        # Without a request, a pod on a busy node gets what all others leave (cpu.shares 2), and the
        # report would count its own waiting as an outage of the Service. With this request it gets
        # 50 times that, and other pods still fit beside it on a node of one processor.
        "resources": {"requests": {"cpu": "100m"}},
        # It only writes into root's folder on the node: that needs no capability.
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _pod(container: dict[str, Any]) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 2,
        "containers": [container],
        "volumes": [{"name": "program", "hostPath": {"path": PROGRAM, "type": "File"}}],
    }
