"""The instrument's objects in the cluster, as manifests. Pure.

A Service with three pods behind it, and on each node a pod that asks.
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
"""images/versions.yaml names it; a unit test holds the two together. It is in every node's image:
nothing is pulled."""
PROGRAM = "/usr/local/bin/halab-probe"
"""The agent, on every node's disk. Pods use that one, so that it is the one of the node's image."""
FOLDER = "/var/lib/halab/probe"
"""On the node's disk, where samples outlive their pod and the node's death."""

Manifest = dict[str, Any]


def initial(key: str) -> str:
    """Return what a register holds before any client writes to it."""
    return f"{key}-initial"


def namespace() -> Manifest:
    """The namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}


def registers() -> tuple[Manifest, ...]:
    """The ConfigMaps that several clients rewrite."""
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
    """The Service and its pods.

    A Deployment: pods of a dead node must be replaced elsewhere to be seen coming back.
    """
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
    """A DaemonSet whose pods ask what is to be asked from their node.

    They write into a file of this run. Empty where no pod has anything to ask.
    """
    nodes = sorted({row.pod for row in rows if row.pod})
    if not nodes:
        return ()
    place = f"{FOLDER}/{run}.jsonl"
    data = {
        f"{node}.json": json.dumps(
            configuration([row for row in rows if row.pod == node], output=place)
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
    apart = {"key": "kubernetes.io/hostname", "operator": "In", "values": nodes}
    pod["affinity"] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [apart]}]
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
        # Without a request a pod gets what all others on a busy node leave (cpu.shares 2), and the
        # report would call the pod's own waiting an outage of the Service. With it, 50 times that,
        # and there is room beside the pods of others on a node of one processor.
        "resources": {"requests": {"cpu": "100m"}},
        # All it does is write into a folder of root's on the node: that needs no capability.
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
