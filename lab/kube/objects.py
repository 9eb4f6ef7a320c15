"""Kubernetes' objects: where the API keeps them, and what they say of themselves."""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

CLUSTER_WIDE = {
    "APIService",
    "CSIDriver",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
}
"""Kinds without a namespace."""

NEEDED_BY_ALL = {"CustomResourceDefinition", "Namespace", "PriorityClass"}
MAKES_PODS = {"CronJob", "DaemonSet", "Deployment", "Job", "Pod", "StatefulSet"}


def waves(items: Iterable[dict[str, Any]]) -> tuple[tuple[dict[str, Any], ...], ...]:
    """Return objects in the order in which they need each other; those of a wave do not.

    Namespaces and the like come first, and what makes pods comes last: a pod without its account or
    ConfigMap is tried again only seconds later.
    """
    first, middle, last = [], [], []
    for item in items:
        if item["kind"] in NEEDED_BY_ALL:
            first.append(item)
        elif item["kind"] in MAKES_PODS:
            last.append(item)
        else:
            middle.append(item)
    return tuple(tuple(wave) for wave in (first, middle, last) if wave)


def _plural(kind: str) -> str:
    """Return the name of a kind in paths: the English plural, in small letters.

    Endpoints is a plural already.
    """
    singular = kind.lower()
    if singular == "endpoints":
        return singular
    if singular.endswith(("s", "x", "ch", "sh")):
        return f"{singular}es"
    if singular.endswith("y") and singular[-2] not in "aeiou":
        return f"{singular[:-1]}ies"
    return f"{singular}s"


def path(item: dict[str, Any]) -> str:
    """Return an object's path in the API; without a namespace, it is in `default`."""
    version, kind, metadata = item["apiVersion"], item["kind"], item["metadata"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    namespace = metadata.get("namespace", "default")
    scope = "" if kind in CLUSTER_WIDE else f"/namespaces/{namespace}"
    return f"{root}{scope}/{_plural(kind)}/{metadata['name']}"


def reported(item: dict[str, Any]) -> float:
    """Return when a node's kubelet last reported its conditions: POSIX time, 0 for never.

    The API keeps whole seconds. The node's lease is no substitute: a kubelet renews it before its
    first look at the machine, while the conditions are still those of an earlier life.
    """
    times = [
        row.get("lastHeartbeatTime")
        for row in item.get("status", {}).get("conditions", [])
        if row["type"] == "Ready"
    ]
    return max((datetime.fromisoformat(time).timestamp() for time in times if time), default=0.0)


CAUSES = (
    # What kubelets say (kubernetes/pkg/kubelet/kubelet.go and runtime.go), the most telling first.
    ("container runtime is down", "its container runtime is down"),
    ("RuntimeReady=false", "waits for the container runtime"),
    ("NetworkReady=false", "waits for the pod network"),
    ("PLEG is not healthy", "its kubelet has lost sight of its containers"),
    ("CSINode is not yet initialized", "waits for its CSINode object"),
    ("stopped posting node status", "its kubelet has stopped reporting"),
    ("container runtime status check may not have completed", "waits for the container runtime"),
)
"""Phrases in the message of a node's condition `Ready`, and the cause in short."""
CAUSE_LENGTH = 120


def cause(message: str) -> str:
    """Return in short why a node is not Ready: a known cause, else the message's beginning."""
    for phrase, short in CAUSES:
        if phrase in message:
            return short
    return textwrap.shorten(message, CAUSE_LENGTH, placeholder=" …")


def node_ready(item: dict[str, Any]) -> tuple[bool, str]:
    """Return whether a node is Ready, and if not, the cause."""
    conditions = {row["type"]: row for row in item.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready")
    if ready is None:
        return False, "registered, has not reported yet"
    if ready["status"] == "True":
        return True, "Ready"
    return False, cause(str(ready.get("message") or "NotReady"))
