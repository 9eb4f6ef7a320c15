"""Kubernetes' objects: where the API keeps them, and what they say of themselves."""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import Any

CLUSTER_WIDE = {
    "Namespace", "Node", "ClusterRole", "ClusterRoleBinding", "StorageClass", "PriorityClass", "APIService", "PersistentVolume",
    "CustomResourceDefinition", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "CSIDriver", "IngressClass",
}  # fmt: skip


def _plural(kind: str) -> str:
    """The API's rule: English, and all small letters (StorageClass, NetworkPolicy; Endpoints is one already)."""
    word = kind.lower()
    if word == "endpoints":
        return word
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2] not in "aeiou" else f"{word}s"


def path(item: dict[str, Any]) -> str:
    """Return the API path of an object."""
    version, kind, metadata = item["apiVersion"], item["kind"], item["metadata"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    plural = _plural(kind)
    space = "" if kind in CLUSTER_WIDE else f"/namespaces/{metadata.get('namespace', 'default')}"
    return f"{root}{space}/{plural}/{metadata['name']}"


def reported(item: dict[str, Any]) -> float:
    """Return when a node's kubelet last reported its conditions, in whole seconds since 1970; 0 for never.

    Not its lease: a kubelet renews that before its first look at the machine, while the conditions are still those of an earlier life.
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
"""Words of a node's condition `Ready` → its cause in short."""
CAUSE_LENGTH = 120


def cause(message: str) -> str:
    """Return why a node is not Ready in a few words: a known cause, else its message's beginning."""
    for words, short in CAUSES:
        if words in message:
            return short
    return textwrap.shorten(message, CAUSE_LENGTH, placeholder=" …")


def node_ready(item: dict[str, Any]) -> tuple[bool, str]:
    """Return whether a node is Ready, and the cause where it is not."""
    conditions = {row["type"]: row for row in item.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready")
    if ready is None:
        return False, "registered, has not reported yet"
    if ready["status"] == "True":
        return True, "Ready"
    return False, cause(str(ready.get("message") or "NotReady"))
