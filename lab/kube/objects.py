"""Kubernetes' objects: where the API keeps them, and what they say of themselves."""

from __future__ import annotations

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
    """Give the API path of an object."""
    version, kind, metadata = item["apiVersion"], item["kind"], item["metadata"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    plural = _plural(kind)
    space = "" if kind in CLUSTER_WIDE else f"/namespaces/{metadata.get('namespace', 'default')}"
    return f"{root}{space}/{plural}/{metadata['name']}"


def reported(item: dict[str, Any]) -> float:
    """Give when a node's kubelet last reported its conditions, in whole seconds since 1970; 0 for never.

    Not its lease: a kubelet renews that before its first look at the machine, while the conditions are still those of an earlier life.
    """
    times = [
        row.get("lastHeartbeatTime")
        for row in item.get("status", {}).get("conditions", [])
        if row["type"] == "Ready"
    ]
    return max((datetime.fromisoformat(time).timestamp() for time in times if time), default=0.0)


def node_ready(item: dict[str, Any]) -> tuple[bool, str]:
    """Tell whether a node is Ready, and what it says where it is not."""
    conditions = {row["type"]: row for row in item.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready")
    if ready is None:
        return False, "registered, has not reported yet"
    return ready["status"] == "True", "Ready" if ready["status"] == "True" else str(
        ready.get("message", "NotReady")
    )[:120]
