"""What several add-ons' manifests share. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.base.wait import Observation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.addons.addon import AddonContext, Object

RBAC = "rbac.authorization.k8s.io"
MASTERS_TOO = [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]
"""Tolerates what keeps workloads off masters: for pods that also run there."""


def meta(name: str, space: str = "", **labels: str) -> dict[str, Any]:
    """Return an object's metadata."""
    return {
        "name": name,
        **({"namespace": space} if space else {}),
        **({"labels": labels} if labels else {}),
    }


def account(name: str, space: str) -> Object:
    """Return a service account."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(name, space)}


def role(
    name: str, rules: Sequence[tuple[str, str, str]], space: str = "", **labels: str
) -> Object:
    """Return a ClusterRole, or a Role of a namespace.

    A rule is (group, resources, verbs); several are separated by spaces, and group `-` is the core
    group. Resources that begin with / are paths of the API server.
    """
    rows: list[dict[str, Any]] = []
    for group, resources, verbs in rules:
        if resources.startswith("/"):
            rows.append({"nonResourceURLs": resources.split(), "verbs": verbs.split()})
        else:
            rows.append(
                {
                    "apiGroups": ["" if group == "-" else group],
                    "resources": resources.split(),
                    "verbs": verbs.split(),
                }
            )
    kind = "Role" if space else "ClusterRole"
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": meta(name, space, **labels),
        "rules": rows,
    }


def bind(
    name: str, to: str, account: str, space: str, *, within: str = "", cluster_role: bool = True
) -> Object:
    """Return the binding of a role to an account: in the whole cluster, or `within` a namespace."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding" if within else "ClusterRoleBinding",
        "metadata": meta(name, within),
        "roleRef": {
            "apiGroup": RBAC,
            "kind": "ClusterRole" if cluster_role else "Role",
            "name": to,
        },
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": space}],
    }


def workload(
    kind: str,
    metadata: dict[str, Any],
    labels: dict[str, str],
    pod: dict[str, Any],
    also: dict[str, str] | None = None,
    **spec: Any,  # noqa: ANN401 (JSON)
) -> Object:
    """Return a Deployment or a DaemonSet of pods with these labels; `spec` is the rest of its spec.

    `also` are further labels of the pods, by which others select them.
    """
    template = {"metadata": {"labels": {**labels, **(also or {})}}, "spec": pod}
    whole = {**spec, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": whole}


def deployed(site: AddonContext, space: str, name: str) -> Observation:
    """Whether a Deployment of one generation has all its replicas ready. Raises LabError."""
    item = site.cluster.find(f"/apis/apps/v1/namespaces/{space}/deployments/{name}")
    if item is None:
        return Observation(ok=False, detail=f"{name} is not there")
    status, replicas = item.get("status", {}), item["spec"].get("replicas", 1)
    ready = min(status.get("readyReplicas", 0), status.get("updatedReplicas", 0))
    ok = status.get("observedGeneration") == item["metadata"]["generation"] and ready >= replicas
    return Observation(ok=ok, detail=f"{name}: {ready} of {replicas} ready")
