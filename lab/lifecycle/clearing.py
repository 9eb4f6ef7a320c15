"""Objects are removed from a cluster in order, without waiting longer than needed.

First what meddles with the API's own answers, then custom objects while their operators still run,
then all else with its namespaces, at last the definitions of custom types.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lab.base.errors import WaitTimeout
from lab.base.wait import Observation, until
from lab.kube.api import CONFLICT, NOT_FOUND, WRITE_TIMEOUT_S, ApiError
from lab.kube.inventory import DEFINITIONS, WORKERS, ObjectKey, StoredObject, listing
from lab.live.baseline import VOLUMES, is_needed_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from lab.base.progress import Reporter
    from lab.kube.api import KubeApi

MEDDLING = {"admissionregistration.k8s.io", "apiregistration.k8s.io"}
"""Groups whose objects make the API server ask others before it answers."""
NAMESPACES = "namespaces"
PODS = "pods"
POD_GRACE_S = 1
"""For a pod's processes to end. Zero would let its object go before they have."""
POD_PATIENCE_S = 8.0
"""Then the object goes, whatever its kubelet says: it may be of a node that never was."""
CUSTOM_PATIENCE_S = 2.0
"""For a finalizer that is not Kubernetes' own. Its controller may not run any more."""
OWN_PATIENCE_S = 20.0
"""For Kubernetes' own finalizers, and for a provisioner that removes a volume's directory."""
STAGE_TIMEOUT_S = 60.0
EVERY_S = 0.15
GONE = {NOT_FOUND, CONFLICT}
"""What a deletion is answered with if the object is gone, or another one has its name."""


def is_kubernetes_own(finalizer: str) -> bool:
    """Whether Kubernetes itself, or a provisioner beside it, sees to a finalizer."""
    domain = finalizer.split("/", maxsplit=1)[0]
    return "." not in domain or f".{domain}".endswith((".kubernetes.io", ".k8s.io"))


def stages(
    surplus: Collection[StoredObject], definitions: Collection[str]
) -> list[list[StoredObject]]:
    """Return objects in the order in which they are removed; `definitions` of custom types."""
    ordered: list[list[StoredObject]] = [[], [], [], []]
    for row in surplus:
        if row.type.group in MEDDLING:
            ordered[0].append(row)
        elif row.type.name in definitions:
            ordered[1].append(row)
        else:
            ordered[3 if row.type.name == DEFINITIONS else 2].append(row)
    return [stage for stage in ordered if stage]


def ranks(rows: Iterable[StoredObject]) -> list[list[StoredObject]]:
    """Return objects in the order of deletion: namespaces, owners before what they own, pods.

    A namespace that is being deleted takes nothing new, and an owner that is gone makes nothing.
    """
    by_uid = {row.uid: row for row in rows}

    def depth(row: StoredObject, visited: frozenset[str] = frozenset()) -> int:
        owners = [by_uid[uid] for uid in row.owners if uid in by_uid and uid not in visited]
        return max((1 + depth(owner, visited | {row.uid}) for owner in owners), default=0)

    ordered: dict[tuple[int, int], list[StoredObject]] = {}
    for row in by_uid.values():
        place = {NAMESPACES: 0, PODS: 2}.get(row.type.name, 1)
        ordered.setdefault((place, depth(row)), []).append(row)
    return [ordered[place] for place in sorted(ordered)]


@dataclass(slots=True)
class Clearing:
    """Removes objects of a cluster; killed half-way, another one goes on."""

    cluster: KubeApi
    reporter: Reporter
    subject: str
    """The lab, for progress."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    _since: dict[str, float] = field(default_factory=dict)
    """By uid: since when it is awaited."""
    _refused: dict[ObjectKey, str] = field(default_factory=dict)
    """Why the API did not delete it."""

    def clear(self, surplus: Collection[StoredObject], definitions: Collection[str]) -> None:
        """Remove objects, and wait until they are gone. Raises WaitTimeout with what is left."""
        for stage in stages(surplus, definitions):
            self._clear(stage)

    def _clear(self, stage: Sequence[StoredObject]) -> None:
        left = list(stage)

        def ask() -> Observation:
            left[:] = self._advance(left)
            names = ", ".join(str(row.key) for row in left[:3])
            return Observation(ok=not left, detail=f"waiting for {len(left)} to go: {names}")

        try:
            until(
                "objects that were made since are gone",
                ask,
                timeout_s=STAGE_TIMEOUT_S,
                every_s=EVERY_S,
                on_change=lambda text: self.reporter.say(self.subject, text),
                cancelled=self.cancelled,
            )
        except WaitTimeout as error:
            if self.cancelled.is_set():
                raise KeyboardInterrupt from None
            why = [f"{key}: {text}" for key, text in self._refused.items()]
            hint = f"`halab reset {self.subject}` again goes on from here"
            last = "; ".join((error.last, *why[:3]))
            raise WaitTimeout(error.what, error.seconds, last, hint) from error

    def _advance(self, rows: list[StoredObject]) -> list[StoredObject]:
        """Do what is due; return what is still there, as it is now."""
        now = self.clock()
        for row in rows:
            self._since.setdefault(row.uid, now)
        for rank in ranks(row for row in rows if self._is_deletable(row)):
            self._each(self._delete, rank)
        present = self._present(rows)
        self._each(self._help, [row for row in present if row.leaving])
        filled = {row.key.namespace for row in present}
        empty = [
            row
            for row in present
            if row.type.name == NAMESPACES and row.leaving and row.key.name not in filled
        ]
        self._each(self._finish, empty)
        return self._present(present) if empty else present

    def _each(self, do: Callable[[StoredObject], None], rows: Sequence[StoredObject]) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(do, rows))

    def _waited(self, row: StoredObject) -> float:
        return self.clock() - self._since[row.uid]

    def _is_deletable(self, row: StoredObject) -> bool:
        """Whether an object is to be deleted now.

        A volume goes by its provisioner, which removes the directory once the claim is gone.
        """
        if row.leaving:
            return False
        spec = row.item.get("spec", {}) if row.type.name == VOLUMES else {}
        provisioned = spec.get("claimRef") and spec.get("persistentVolumeReclaimPolicy") == "Delete"
        return not provisioned or self._waited(row) > OWN_PATIENCE_S

    def _delete(self, row: StoredObject) -> None:
        options: dict[str, Any] = {
            "propagationPolicy": "Background",
            "preconditions": {"uid": row.uid},
        }
        if row.type.name == PODS:
            options["gracePeriodSeconds"] = POD_GRACE_S
        self._ask(row, "DELETE", row.path, options)

    def _ask(
        self,
        row: StoredObject,
        method: str,
        path: str,
        body: Any,  # noqa: ANN401 (any JSON value)
        kind: str = "application/json",
    ) -> None:
        """Send a change, and remember a refusal: it is tried again as long as the object is there.

        An answer that never comes is the caller's error.
        """
        try:
            self.cluster.request(method, path, body, kind=kind, timeout_s=WRITE_TIMEOUT_S)
        except ApiError as error:
            if error.status not in GONE:
                self._refused[row.key] = error.message
        else:
            self._refused.pop(row.key, None)

    def _present(self, rows: Collection[StoredObject]) -> list[StoredObject]:
        """Return those of these objects that are still there, as they are now."""
        types = {row.type for row in rows}
        listed = listing(self.cluster, types, is_needed_whole)
        awaited = {row.uid for row in rows}
        present = [row for row in listed.objects.values() if row.uid in awaited]
        # What cannot be listed at this moment may still be there.
        return present + [row for row in rows if row.type in listed.unlisted]

    def _help(self, row: StoredObject) -> None:
        """Take away what an object has been waiting for too long."""
        waited = self._waited(row)
        kept = [
            one
            for one in row.finalizers
            if waited <= (OWN_PATIENCE_S if is_kubernetes_own(one) else CUSTOM_PATIENCE_S)
        ]
        if len(kept) < len(row.finalizers):
            patch = {"metadata": {"finalizers": kept or None, "resourceVersion": row.version}}
            self._ask(row, "PATCH", row.path, patch, "application/merge-patch+json")
        elif row.type.name == PODS and waited > POD_PATIENCE_S:
            now = {"gracePeriodSeconds": 0, "preconditions": {"uid": row.uid}}
            self._ask(row, "DELETE", row.path, now)

    def _finish(self, space: StoredObject) -> None:
        """End a namespace in which nothing is left.

        The namespace controller does it, too, but looks five seconds later at the earliest
        (namespaceDeletionGracePeriod in kubernetes/pkg/controller/namespace).
        """
        if space.finalizers:
            return
        events = replace(space.type, plural="events", kind="Event").path(space.key.name)
        self._ask(space, "DELETE", events, {})
        metadata = {"name": space.key.name, "resourceVersion": space.version}
        item = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        self._ask(space, "PUT", f"{space.path}/finalize", {**item, "spec": {"finalizers": []}})
