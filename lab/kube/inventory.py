"""Everything that the API holds: its resource types by discovery, and lists of all objects.

Lists bring metadata alone (PartialObjectMetadata) unless whole objects are asked for: see
https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.base.errors import LabError
from lab.kube.api import NOT_FOUND, ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.kube.api import KubeApi

DISCOVERY = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1")
)
"""One question for all types of all groups: KEP-3352, on by default since Kubernetes 1.27."""
METADATA = "application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadataList,application/json"
WORKERS = 8
"""Side by side: a fourth of the connections that the client keeps (`api.CONNECTIONS`)."""
LIST_TIMEOUT_S = 15.0
"""For one list. A conversion webhook that does not answer takes the API server ten seconds."""
NOT_ALLOWED = 405
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
"""The type of custom types' definitions. Its objects are called as the types that they define."""
NOT_SERVED = "the API server that was asked does not serve it yet"
NEEDED = {"list", "delete"}
"""Verbs of a type whose objects can be found and removed: metrics, for example, are none."""


class ObjectKey(NamedTuple):
    """What names an object, whatever version of the API it is asked for in."""

    resource: str
    """`configmaps`, `deployments.apps`."""
    namespace: str
    """Empty for objects of the whole cluster."""
    name: str

    def __str__(self) -> str:
        """Return it for people: `deployments.apps shop/web`."""
        return f"{self.resource} {self.namespace and f'{self.namespace}/'}{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ResourceType:
    """A type of objects, in the version that the API prefers."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def name(self) -> str:
        """Return the name without a version: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """Return what objects have as `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "") -> str:
        """Return the path of an object, or of a list without a name."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{scope}/{self.plural}{name and f'/{name}'}"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of the API: at least its metadata."""

    type: ResourceType
    item: dict[str, Any] = field(repr=False)

    @property
    def metadata(self) -> dict[str, Any]:
        """Return its metadata."""
        return dict(self.item["metadata"])

    @property
    def key(self) -> ObjectKey:
        """Return its name."""
        metadata = self.item["metadata"]
        return ObjectKey(self.type.name, metadata.get("namespace", ""), metadata["name"])

    @property
    def path(self) -> str:
        """Return where the API has it."""
        return self.type.path(self.key.namespace, self.key.name)

    @property
    def uid(self) -> str:
        """Return its identity: another one if it was deleted and made again."""
        return str(self.item["metadata"]["uid"])

    @property
    def version(self) -> str:
        """Return what changes whenever it is written."""
        return str(self.item["metadata"]["resourceVersion"])

    @property
    def labels(self) -> dict[str, str]:
        """Return its labels."""
        return dict(self.item["metadata"].get("labels") or {})

    @property
    def annotations(self) -> dict[str, str]:
        """Return its annotations."""
        return dict(self.item["metadata"].get("annotations") or {})

    @property
    def finalizers(self) -> tuple[str, ...]:
        """Return what must be done by others before it goes."""
        return tuple(self.item["metadata"].get("finalizers") or ())

    @property
    def owners(self) -> tuple[str, ...]:
        """Return the uids of the objects with which it goes."""
        return tuple(row["uid"] for row in self.item["metadata"].get("ownerReferences") or ())

    @property
    def leaving(self) -> bool:
        """Whether it was deleted, and something is still awaited before it goes."""
        return "deletionTimestamp" in self.item["metadata"]


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of some types. `unlisted`: type → why it could not be listed."""

    objects: dict[ObjectKey, StoredObject] = field(default_factory=dict)
    unlisted: dict[ResourceType, str] = field(default_factory=dict)

    def joined(self, other: Listing) -> Listing:
        """Return both."""
        return Listing({**self.objects, **other.objects}, {**self.unlisted, **other.unlisted})


def resource_types(cluster: KubeApi) -> tuple[ResourceType, ...]:
    """Return all types whose objects can be listed and deleted. Raises LabError."""
    types: list[ResourceType] = []
    for path in ("/api", "/apis"):
        answer = cluster.request("GET", path, accept=DISCOVERY)
        if answer.get("kind") != "APIGroupDiscoveryList":
            raise LabError(
                "the API does not list its types in one answer (aggregated discovery)",
                "Kubernetes does since 1.27, unless a feature gate turns it off",
            )
        for group in answer.get("items", []):
            types += _of_group(group)
    return tuple(types)


def _of_group(group: dict[str, Any]) -> list[ResourceType]:
    """Return each type of a group once, in the version that is preferred among those that have it.

    The API lists versions in its order of preference.
    """
    name = group["metadata"].get("name", "")
    types: dict[str, ResourceType] = {}
    for version in group.get("versions", []):
        for row in version.get("resources", []):
            if set(row.get("verbs", [])) >= NEEDED:
                plural, kind = row["resource"], row["responseKind"]["kind"]
                namespaced = row["scope"] == "Namespaced"
                made = ResourceType(name, version["version"], plural, kind, namespaced)
                types.setdefault(plural, made)
    return list(types.values())


def late_types(
    cluster: KubeApi, known: Iterable[str], defined: Iterable[str]
) -> list[ResourceType]:
    """Return the custom types that are defined, but were not among the `known` ones.

    Each API server learns of a definition by itself, and the load balancer leads to any of them:
    what it says it serves may be a second old, while definitions are read from etcd.
    """
    names = sorted(set(defined) - set(known))
    return [each for name in names if (each := _defined(cluster, name))]


def _defined(cluster: KubeApi, name: str) -> ResourceType | None:
    """Return the custom type of a name; None for one that is not served by any server, or goes."""
    item = cluster.find(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    if item is None or "deletionTimestamp" in item["metadata"]:
        return None
    conditions = item.get("status", {}).get("conditions", [])
    if not any(row["type"] == "Established" and row["status"] == "True" for row in conditions):
        return None
    spec = item["spec"]
    version = next(row["name"] for row in spec["versions"] if row["served"])
    names = spec["names"]
    namespaced = spec["scope"] == "Namespaced"
    return ResourceType(spec["group"], version, names["plural"], names["kind"], namespaced)


def everything(
    cluster: KubeApi, wanted: Callable[[ResourceType], bool], whole: Callable[[ResourceType], bool]
) -> tuple[tuple[ResourceType, ...], Listing]:
    """Return all types, and a listing of those that are `wanted`: see `listing`.

    Raises LabError if the API does not answer.
    """
    types = resource_types(cluster)
    listed = listing(cluster, filter(wanted, types), whole)
    defined = [key.name for key in listed.objects if key.resource == DEFINITIONS]
    late = late_types(cluster, (each.name for each in types), defined)
    if late:
        listed = listed.joined(listing(cluster, filter(wanted, late), whole))
    return (*types, *late), listed


def listing(
    cluster: KubeApi, types: Iterable[ResourceType], whole: Callable[[ResourceType], bool]
) -> Listing:
    """List all objects of these types, side by side; `whole`: whether more than metadata.

    Raises LabError if the API does not answer. A type that only it refuses is `unlisted`, and so is
    a custom one of which the server that was asked does not know yet. One that is gone has none.
    """

    def ask(each: ResourceType) -> list[StoredObject] | str:
        accept = "application/json" if whole(each) else METADATA
        try:
            answer = cluster.request("GET", each.path(), accept=accept, timeout_s=LIST_TIMEOUT_S)
        except ApiError as error:
            if error.status not in {NOT_FOUND, NOT_ALLOWED}:
                return error.message
            return NOT_SERVED if _defined(cluster, each.name) else []
        about = {"apiVersion": each.api_version, "kind": each.kind}
        return [StoredObject(each, {**item, **about}) for item in answer["items"] or ()]

    asked = tuple(types)
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = dict(zip(asked, pool.map(ask, asked), strict=True))
    objects = [row for rows in answers.values() if not isinstance(rows, str) for row in rows]
    silent = {each: rows for each, rows in answers.items() if isinstance(rows, str)}
    return Listing({row.key: row for row in objects}, silent)
