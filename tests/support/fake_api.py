"""A double of the API server's storage: discovery, lists, changes, finalizers, owners, namespaces.

What is deleted with finalizers stays until they are gone, and dependents go with their owners; a
namespace stays until it is finalized. Every request is kept in `sent`.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

from lab.base.errors import LabError
from lab.kube.api import ApiError
from lab.kube.objects import CLUSTER_WIDE, path

TYPES = {
    "": "v1 Namespace ConfigMap Secret ServiceAccount Service Pod Node PersistentVolume "
    "PersistentVolumeClaim Endpoints Event",
    "apps": "v1 Deployment ReplicaSet",
    "rbac.authorization.k8s.io": "v1 ClusterRole",
    "coordination.k8s.io": "v1 Lease",
    "apiextensions.k8s.io": "v1 CustomResourceDefinition",
    "admissionregistration.k8s.io": "v1 ValidatingWebhookConfiguration",
    "metrics.k8s.io": "v1beta1 NodeMetrics",
}


@dataclass
class FakeApi:
    """The double, with the methods of lab/kube/api.py's KubeApi that are asked."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By path."""
    custom: dict[str, str] = field(default_factory=dict)
    """Group of custom types → version and kinds."""
    unaware: dict[str, int] = field(default_factory=dict)
    """Group of custom types → how often a server is asked for it that does not know it yet."""
    sent: list[str] = field(default_factory=list)
    refuses: dict[str, int] = field(default_factory=dict)
    """A part of `METHOD path` → the status of the refusal."""
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _lock: Any = field(default_factory=threading.RLock)

    # --- what a test sets up ---

    def add(self, kind: str, name: str, namespace: str = "", group: str = "", **more: Any) -> str:
        """Add an object; return its path. `metadata` is merged; all else is the body's."""
        words = {**TYPES, **self.custom}[group].split()
        version = f"{group}/{words[0]}" if group else words[0]
        metadata = {"name": name, **more.pop("metadata", {})}
        if namespace:
            metadata["namespace"] = namespace
        item = {"apiVersion": version, "kind": kind, **more, "metadata": metadata}
        place = self.place(item)
        self._store(place, item)
        return place

    def place(self, item: dict[str, Any]) -> str:
        """Return an object's path; it is in no namespace if it names none."""
        found = path(item)
        if item["metadata"].get("namespace") or item["kind"] in CLUSTER_WIDE:
            return found
        return found.replace("/namespaces/default/", "/")

    def define(self, group: str, kind: str) -> None:
        """Define a custom type of namespaces, and say that all servers may serve it."""
        sample = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "x"}}
        plural = path(sample).split("/")[-2]
        self.custom[group] = f"v1 {kind}"
        self.add(
            "CustomResourceDefinition",
            f"{plural}.{group}",
            group="apiextensions.k8s.io",
            spec={
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": plural, "kind": kind},
                "versions": [{"name": "v1", "served": True}],
            },
            status={"conditions": [{"type": "Established", "status": "True"}]},
        )

    def names(self) -> set[str]:
        """Return the last words of all paths."""
        return {place.rsplit("/", 1)[-1] for place in self.objects}

    # --- what the code asks ---

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        kind: str = "application/json",
        accept: str = "",
        timeout_s: float = 0,
    ) -> Any:
        del kind, timeout_s
        with self._lock:
            self.sent.append(f"{method} {path}")
            for part, status in self.refuses.items():
                if part in f"{method} {path}":
                    raise ApiError(status, f"{method} {path}: refused")
            return getattr(self, f"_{method.lower()}")(path, body, accept)

    def find(self, path: str) -> dict[str, Any] | None:
        return self.objects.get(path)

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def apply(self, items: Any) -> None:
        for item in items:
            self._store(self.place(item), item)

    def _get(self, path: str, body: Any, accept: str) -> Any:
        if "APIGroupDiscoveryList" in accept:
            return {"kind": "APIGroupDiscoveryList", "items": list(self._groups(path))}
        for group, left in self.unaware.items():
            if left and path.startswith(f"/apis/{group}/"):
                self.unaware[group] -= 1
                raise ApiError(404, "the server could not find the requested resource")
        if path in self.objects:
            return self.objects[path]
        plural, root = path.rsplit("/", 1)[-1], path.rsplit("/", 1)[0]
        found = [
            item
            for place, item in self.objects.items()
            if place.startswith(f"{root}/") and place.split("/")[-2] == plural
        ]
        if "PartialObjectMetadata" in accept:
            found = [{"metadata": item["metadata"]} for item in found]
        return {"items": found}

    def _groups(self, path: str) -> Any:
        for group, words in {**TYPES, **self.custom}.items():
            version, *kinds = words.split()
            if self.unaware.get(group):
                continue
            if bool(group) == (path == "/apis"):
                rows = [self._resource(kind) for kind in kinds]
                yield {
                    "metadata": {"name": group} if group else {},
                    "versions": [{"version": version, "resources": rows}],
                }

    def _resource(self, kind: str) -> dict[str, Any]:
        sample = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}}
        verbs = ["get", "list"] if kind == "NodeMetrics" else ["delete", "get", "list"]
        return {
            "resource": path(sample).split("/")[-2],
            "responseKind": {"kind": kind},
            "scope": "KubeApi" if kind in CLUSTER_WIDE else "Namespaced",
            "verbs": verbs,
        }

    def _post(self, path: str, body: Any, _: str) -> Any:
        place = f"{path}/{body['metadata']['name']}"
        if place in self.objects:
            raise ApiError(409, "exists already")
        self._store(place, body)

    def _put(self, path: str, body: Any, _: str) -> Any:
        if path.endswith("/finalize"):
            self.objects[path.removesuffix("/finalize")]["spec"] = body["spec"]
            self._settle()
            return
        if path not in self.objects:
            raise ApiError(404, "not found")
        self._store(path, body)

    def _patch(self, path: str, body: Any, _: str) -> Any:
        metadata = self.objects[path]["metadata"]
        metadata["finalizers"] = body["metadata"]["finalizers"] or []
        self._settle()

    def _delete(self, path: str, body: Any, _: str) -> Any:
        if path.endswith("/events"):
            return
        item = self.objects.get(path)
        if item is None:
            raise ApiError(404, "not found")
        for key, expected in (body or {}).get("preconditions", {}).items():
            if item["metadata"][key] != expected:
                raise ApiError(409, f"another {key}")
        item["metadata"]["deletionTimestamp"] = "now"
        self._settle()

    # --- what controllers do ---

    def _store(self, place: str, item: dict[str, Any]) -> None:
        number = next(self._numbers)
        old = self.objects.get(place, {}).get("metadata", {})
        metadata = {"uid": f"u{number}", **item["metadata"]}
        if "uid" in old:
            metadata["uid"] = old["uid"]
        metadata["resourceVersion"] = str(number)
        if item["kind"] == "Namespace":
            item = {"spec": {"finalizers": ["kubernetes"]}, **item}
        self.objects[place] = {**item, "metadata": metadata}

    def _settle(self) -> None:
        """Remove what nothing holds any more, and then what it owned."""
        while gone := [place for place in self.objects if self._is_gone(place)]:
            for place in gone:
                del self.objects[place]

    def _is_gone(self, place: str) -> bool:
        item = self.objects[place]
        metadata = item["metadata"]
        owners = {row["uid"] for row in metadata.get("ownerReferences", [])}
        alive = {other["metadata"]["uid"] for other in self.objects.values()}
        if owners and not owners & alive:
            return True
        held = metadata.get("finalizers") or (item.get("spec") or {}).get("finalizers")
        return "deletionTimestamp" in metadata and not held


class SilentApi(FakeApi):
    """An API that does not answer."""

    def request(self, method: str, path: str, *_: Any, **__: Any) -> Any:
        raise LabError("the API does not answer")

    def find(self, path: str) -> dict[str, Any] | None:
        raise LabError("the API does not answer")
