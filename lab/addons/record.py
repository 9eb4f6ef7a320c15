"""Which add-ons are enabled: by a ConfigMap of the cluster and the lab's topology. No file.

The ConfigMap is `halab-addons` in kube-system. It has a key for each add-on that was enabled, and
for each that the topology names and somebody disabled by hand.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from lab.topology.model import known

if TYPE_CHECKING:
    from lab.kube.api import KubeApi

SPACE = "kube-system"
NAME = "halab-addons"
FOLDER = f"/api/v1/namespaces/{SPACE}/configmaps"
LABEL_MANAGED = "app.kubernetes.io/managed-by"
LABEL_ADDON = "halab/addon"
MANAGER = "halab"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddonState:
    """What is remembered of one add-on.

    `digest` is that of what was applied last; empty if that was not completed.
    """

    enabled: bool = False
    disabled: bool = False
    digest: str = ""
    options: dict[str, str] = field(default_factory=dict)


def stamped(name: str, item: dict[str, Any]) -> dict[str, Any]:
    """Return an add-on's object with the labels that mark it as such.

    `disable` removes nothing else.
    """
    metadata = item["metadata"]
    labels = {**metadata.get("labels", {}), LABEL_MANAGED: MANAGER, LABEL_ADDON: name}
    return {**item, "metadata": {**metadata, "labels": labels}}


def is_stamped(name: str, item: dict[str, Any] | None) -> bool:
    """Whether an object of the cluster is this add-on's."""
    return item is not None and item["metadata"].get("labels", {}).get(LABEL_ADDON) == name


@dataclass(frozen=True, slots=True)
class Record:
    """Reads and writes the ConfigMap."""

    cluster: KubeApi

    def rows(self) -> dict[str, AddonState]:
        """Return what is remembered, by add-on."""
        record = self.cluster.find(f"{FOLDER}/{NAME}")
        texts = ((record or {}).get("data") or {}).items()
        return {name: AddonState(**known(AddonState, json.loads(text))) for name, text in texts}

    def write(self, name: str, row: AddonState | None) -> None:
        """Remember the state of an add-on; None: forget it."""
        if self.cluster.find(f"{FOLDER}/{NAME}") is None:
            metadata = {"name": NAME, "namespace": SPACE, "labels": {LABEL_MANAGED: MANAGER}}
            self.cluster.request(
                "POST", FOLDER, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
            )
        data = {name: json.dumps(asdict(row), sort_keys=True) if row else None}
        self.cluster.request(
            "PATCH", f"{FOLDER}/{NAME}", {"data": data}, kind="application/merge-patch+json"
        )


def enabled(named: tuple[str, ...], rows: dict[str, AddonState]) -> tuple[str, ...]:
    """Return the enabled add-ons.

    Those that the topology names or somebody enabled, without those that somebody disabled.
    """
    names = dict.fromkeys((*named, *(name for name, row in rows.items() if row.enabled)))
    return tuple(name for name in names if not rows.get(name, AddonState()).disabled)
