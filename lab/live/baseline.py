"""What a lab's API held when its first start had ended: `halab reset` goes back to it.

It is kept in the cluster, as a Secret, because it holds other Secrets' contents. Objects are known
by their names; those that say what should be, rather than what is, are kept whole.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.base.errors import LabError
from lab.base.wait import Observation, until
from lab.kube.inventory import NOT_SERVED, ObjectKey, everything

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.kube.api import KubeApi
    from lab.kube.inventory import Listing, ResourceType, StoredObject

    Item = dict[str, Any]

SPACE = "kube-system"
NAME = "halab-baseline"
PATH = f"/api/v1/namespaces/{SPACE}/secrets/{NAME}"
TYPE = "halab/baseline"
DATA = "baseline.json.gz"
FORMAT = 1
"""Of the record. One of another halab's format is refused."""
SERVED_TIMEOUT_S = 30.0
"""For all API servers to know a type that was defined a moment ago: it takes them a second."""
MOST_BYTES = 1_000_000
"""A Secret has 1 MiB at most; a lab's record has some 30 KiB, and Rook's definitions 200 more."""

IGNORED = {
    "events",  # both groups: the same objects. They expire, or go with their namespace.
    "events.events.k8s.io",
    "ipaddresses.networking.k8s.io",  # the API server's own, one for each Service
    "volumeattachments.storage.k8s.io",  # of the controller that attaches volumes
    "addons.k3s.cattle.io",  # K3s's own book-keeping
    "etcdsnapshotfiles.k3s.cattle.io",
}
"""Types that controllers alone make and remove."""
STATES = {
    "certificatesigningrequests.certificates.k8s.io",
    "controllerrevisions.apps",
    "csinodes.storage.k8s.io",
    "csistoragecapacities.storage.k8s.io",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "jobs.batch",
    "leases.coordination.k8s.io",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "replicasets.apps",
}
"""Types that say what is: never put back. What was made of them goes all the same."""
VOLUMES = "persistentvolumes"
NODES = "nodes"
CONTROLLED = {
    ObjectKey("configmaps", SPACE, "extension-apiserver-authentication"),
    ObjectKey("configmaps", SPACE, "kube-apiserver-legacy-service-account-token-tracking"),
    ObjectKey("secrets", SPACE, "k3s-serving"),
    ObjectKey("secrets", SPACE, NAME),
}
"""Objects that servers write, as far as they have them."""
EVERY_NAMESPACE = {("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")}
"""What controllers make in each namespace."""
AUTOMATIC_LABELS = {
    "kubernetes.io/bootstrapping",  # the API server's roles and bindings
    "kube-aggregator.kubernetes.io/automanaged",  # an APIService for each group that is served
    "apiserver.kubernetes.io/identity",  # the lease of each API server
}
AUTOMATIC_ANNOTATIONS = {
    "apf.kubernetes.io/autoupdate-spec": "true",  # flow schemas and priority levels
}
PACKAGED = ("objectset.rio.cattle.io/owner-gvk", "k3s.cattle.io/v1, Kind=Addon")
"""The annotation of what K3s includes. K3s applies it when a server starts, and not when somebody
changes or removes it (k3s/pkg/deploy/controller.go looks at files): so it is recorded and put back.
What is not in the record came with a restart, and stays.
"""
OF_CONTROLLERS = {
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "control-plane.alpha.kubernetes.io/leader",
    "endpoints.kubernetes.io/last-change-trigger-time",
}
"""Annotations that controllers write."""


CONDITIONS = "node.kubernetes.io/"
"""Taints of nodes that are written after their conditions (TaintNodesByCondition) or by kubelet."""
CORDON = "node.kubernetes.io/unschedulable"
"""The one among them that says what should be."""


class NoRecord(LabError):
    """A cluster has no record of what it held after its start, or none that can be read."""


@dataclass(frozen=True, slots=True)
class BaselineObject:
    """An object of the record. `body`: what it should be; None if only its name is known."""

    key: ObjectKey
    version: str
    body: Item | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """A record: the objects, and the add-ons that were enabled."""

    objects: dict[ObjectKey, BaselineObject]
    addons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BaselineDifference:
    """How a cluster differs from its baseline."""

    surplus: tuple[StoredObject, ...] = ()
    """What is to go, with all that is in namespaces that go."""
    suspects: tuple[StoredObject, ...] = ()
    """What was written since; whether it differs, its body says."""
    missing: tuple[BaselineObject, ...] = ()


def is_listed(each: ResourceType) -> bool:
    """Whether a type's objects are looked at."""
    return each.name not in IGNORED


def is_kept_whole(each: ResourceType) -> bool:
    """Whether a type's objects say what should be, and are put back."""
    return is_listed(each) and each.name not in STATES


def is_needed_whole(each: ResourceType) -> bool:
    """Whether metadata does not say enough: a volume's claim is in its spec."""
    return each.name == VOLUMES


# --- the record ---


def record(cluster: KubeApi, addons: Iterable[str]) -> int:
    """Record what a cluster holds now, in place of an earlier record; return how many objects.

    `addons` are those that are enabled. Raises LabError.
    """
    made = of_listing(_listed(cluster), addons)
    write(cluster, made)
    return len(made.objects)


def _listed(cluster: KubeApi) -> Listing:
    """Return all that is recorded; a server that does not know a new type yet is waited for."""
    current: list[Listing] = []

    def look() -> Observation:
        current[:] = [everything(cluster, is_listed, is_kept_whole)[1]]
        late = [each.name for each, why in current[0].unlisted.items() if why == NOT_SERVED]
        return Observation(ok=not late, detail=f"not served yet: {', '.join(late)}")

    until("all types are served", look, timeout_s=SERVED_TIMEOUT_S)
    for each, why in current[0].unlisted.items():
        raise LabError(f"{each.name} cannot be listed: {why}", "remove what serves them")
    return current[0]


def of_listing(current: Listing, addons: Iterable[str]) -> Baseline:
    """Return the record of a cluster. `current` has whole objects of types that are kept whole."""
    rows = [
        BaselineObject(row.key, row.version, _body(row) if _is_put_back(row) else None)
        for row in current.objects.values()
        if not row.leaving
    ]
    return Baseline({row.key: row for row in rows}, tuple(addons))


def _is_put_back(row: StoredObject) -> bool:
    return is_kept_whole(row.type) and not row.owners and not is_automatic(row)


def _body(row: StoredObject) -> Item:
    """Return an object as it would be made: without what the API adds to it, and its state."""
    rest = {key: value for key, value in row.item.items() if key not in {"metadata", "status"}}
    metadata: Item = {"name": row.key.name}
    if row.key.namespace:
        metadata["namespace"] = row.key.namespace
    if row.labels:
        metadata["labels"] = row.labels
    annotations = _annotations(row)
    if annotations:
        metadata["annotations"] = annotations
    if row.type.name == NODES:
        rest = _without_conditions(rest)
    return {**rest, "metadata": metadata}


def _without_conditions(node: Item) -> Item:
    """Return a node without the taints that say what it is like just now."""
    spec = {key: value for key, value in node.get("spec", {}).items() if key != "taints"}
    if kept := [taint for taint in _taints(node) if not _is_condition(taint)]:
        spec["taints"] = kept
    return {**node, "spec": spec}


def _taints(node: Item) -> list[Item]:
    return list(node.get("spec", {}).get("taints") or ())


def _is_condition(taint: Item) -> bool:
    key = str(taint["key"])
    return key.startswith(CONDITIONS) and key != CORDON


def _annotations(row: StoredObject) -> dict[str, str]:
    """Return the annotations that are its makers'; a node's are kubelet's and the network's."""
    if row.type.name == NODES:
        return {}
    return {key: text for key, text in row.annotations.items() if key not in OF_CONTROLLERS}


def write(cluster: KubeApi, made: Baseline) -> None:
    """Keep the record in the cluster, in place of an earlier one. Raises LabError."""
    rows = [[*row.key, row.version, row.body] for row in made.objects.values()]
    content = {"format": FORMAT, "addons": made.addons, "objects": rows}
    packed = gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0)
    if len(packed) > MOST_BYTES:
        raise LabError(f"the record is too large for the cluster ({len(packed)} bytes)")
    metadata = {"name": NAME, "namespace": SPACE}
    item = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**metadata, "labels": {"app.kubernetes.io/managed-by": "halab"}},
        "type": TYPE,
        "data": {DATA: base64.b64encode(packed).decode()},
    }
    cluster.apply([item])


def read(cluster: KubeApi, lab: str) -> Baseline:
    """Return the record. Raises NoRecord if there is none, or it cannot be read."""
    item = cluster.find(PATH)
    hint = f"`halab reset {lab} --record` records what is there now, and later resets go back to it"
    if item is None:
        what = f"lab {lab} has no record of what it held after its start"
        raise NoRecord(f"{what}: an older halab started it, or it was deleted", hint)
    try:
        content = json.loads(gzip.decompress(base64.b64decode(item["data"][DATA])))
        if content["format"] != FORMAT:
            raise NoRecord(f"lab {lab}: another halab wrote the record of its start", hint)
        rows = [BaselineObject(ObjectKey(*row[:3]), row[3], row[4]) for row in content["objects"]]
        return Baseline({row.key: row for row in rows}, tuple(content["addons"]))
    except (KeyError, TypeError, IndexError, ValueError, OSError, EOFError) as error:
        raise NoRecord(
            f"lab {lab}: the record of its start cannot be read: {error}", hint
        ) from None


# --- what differs ---


def is_automatic(row: StoredObject) -> bool:
    """Whether the cluster itself makes an object, and keeps it as it should be."""
    if AUTOMATIC_LABELS & row.labels.keys() or row.key in CONTROLLED:
        return True
    if row.key.namespace and (row.type.name, row.key.name) in EVERY_NAMESPACE:
        return True
    annotations = row.annotations
    return any(annotations.get(key) == text for key, text in AUTOMATIC_ANNOTATIONS.items())


def is_packaged(row: StoredObject) -> bool:
    """Whether an object came with K3s."""
    name, owner = PACKAGED
    return row.annotations.get(name) == owner


@dataclass(slots=True)
class _Judge:
    """Decides what stays."""

    current: Listing
    record: Baseline
    by_uid: dict[str, StoredObject] = field(init=False)
    known: dict[ObjectKey, bool] = field(init=False)

    def __post_init__(self) -> None:
        self.by_uid = {row.uid: row for row in self.current.objects.values()}
        self.known = {}

    def stays(self, row: StoredObject) -> bool:
        """Whether an object stays: a deletion that was begun cannot be taken back."""
        if row.key not in self.known:
            self.known[row.key] = False  # against owners in a circle
            self.known[row.key] = self._stays(row)
        return self.known[row.key]

    def _stays(self, row: StoredObject) -> bool:
        if row.key.namespace and not self._has_place(row.key.namespace):
            return False
        if row.owners:
            owners = [self.by_uid[uid] for uid in row.owners if uid in self.by_uid]
            if owners:
                return any(self.stays(owner) for owner in owners)
        if row.leaving:
            return False
        known = row.key in self.record.objects or is_automatic(row) or is_packaged(row)
        return known or self._is_used(row)

    def _has_place(self, namespace: str) -> bool:
        owner = self.current.objects.get(ObjectKey("namespaces", "", namespace))
        return owner is not None and self.stays(owner)

    def _is_used(self, row: StoredObject) -> bool:
        """Whether an object without an owner belongs to one that stays, by its name or spec."""
        if row.type.name == "endpoints":
            belongs = ObjectKey("services", row.key.namespace, row.key.name)
        elif row.type.name == VOLUMES:
            claim = row.item.get("spec", {}).get("claimRef") or {}
            belongs = ObjectKey(
                "persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", "")
            )
        else:
            return False
        other = self.current.objects.get(belongs)
        return other is not None and self.stays(other)


def difference(kept: Baseline, current: Listing) -> BaselineDifference:
    """Compare a cluster with its record."""
    judge = _Judge(current, kept)
    surplus = [row for row in current.objects.values() if not judge.stays(row)]
    suspects, missing = [], []
    for recorded in kept.objects.values():
        if recorded.body is None:
            continue
        row = current.objects.get(recorded.key)
        if row is None:
            missing.append(recorded)
        elif row.version != recorded.version and judge.stays(row):
            suspects.append(row)
    return BaselineDifference(tuple(surplus), tuple(suspects), tuple(missing))


def restored(recorded: BaselineObject, live: StoredObject) -> Item | None:
    """Return an object as it is put back in place of the live one; None if it does not differ.

    What only the API and controllers write stays as it is.
    """
    if recorded.body is None:
        return None
    body = recorded.body
    if recorded.key.resource == NODES:  # an older halab's record may have such taints
        body = _without_conditions(body)
    if _comparable(body) == _comparable(_body(live)):
        return None
    if recorded.key.resource == NODES:
        body = _with_conditions(body, live.item)
    own = body["metadata"]
    metadata = live.metadata
    for name in ("labels", "annotations"):
        metadata[name] = dict(own.get(name) or {})
    theirs = live.annotations.keys() - _annotations(live).keys()
    metadata["annotations"] |= {key: live.annotations[key] for key in theirs}
    metadata.pop("managedFields", None)
    state = {"status": live.item["status"]} if "status" in live.item else {}
    return {**body, **state, "metadata": metadata}


def _with_conditions(node: Item, live: Item) -> Item:
    """Return a node with the taints that the live one has by its conditions."""
    now = [taint for taint in _taints(live) if _is_condition(taint)]
    if not now:
        return node
    return {**node, "spec": {**node["spec"], "taints": [*_taints(node), *now]}}


def _comparable(body: Item) -> Item:
    """Return what counts of a body: a controller fills the rules of an aggregated role."""
    if body.get("aggregationRule"):
        return {key: value for key, value in body.items() if key != "rules"}
    return body
