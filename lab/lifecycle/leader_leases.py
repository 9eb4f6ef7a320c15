"""Removes the leases of controllers that died with their masters, when all masters boot again.

A candidate for leadership waits a whole lease from the moment it first sees the record, whatever
time the record has: machines' clocks need not agree (client-go, tools/leaderelection). So a lab
that was off waited 10 s for controllers that cannot run any more: no pod was scheduled, and no
node's change was acted upon, while a new lab's controllers lead at once.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lab.base.errors import LabError
from lab.kube.api import WRITE_TIMEOUT_S

if TYPE_CHECKING:
    from lab.kube.api import KubeApi

PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
CONTROLLERS = {"kube-controller-manager", "kube-scheduler", "k3s-cloud-controller-manager"}
"""Those that pods and nodes wait for. Other leases tell who lives; they are not led by."""


def remove_stale(cluster: KubeApi, booted_at: float) -> None:
    """Remove controllers' leases that were renewed last before `booted_at` (POSIX time).

    All masters must have been off then. It only saves time: an API that does not answer, or a lease
    that was taken meanwhile, is no error.
    """
    with contextlib.suppress(LabError):
        for lease in cluster.get(PATH)["items"]:
            if lease["metadata"]["name"] in CONTROLLERS and _renewed_at(lease) < booted_at:
                _remove(cluster, lease["metadata"])


def _renewed_at(lease: dict[str, Any]) -> float:
    """Return when a lease was renewed last; the end of time for one that nobody has held yet."""
    text = lease.get("spec", {}).get("renewTime")
    return datetime.fromisoformat(text).timestamp() if text else float("inf")


def _remove(cluster: KubeApi, metadata: dict[str, Any]) -> None:
    """Delete a lease as it was seen: one that was renewed since stays."""
    unchanged = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    with contextlib.suppress(LabError):
        cluster.request(
            "DELETE",
            f"{PATH}/{metadata['name']}",
            {"preconditions": unchanged},
            timeout_s=WRITE_TIMEOUT_S,
        )
