from __future__ import annotations

import pytest

from lab.kube.objects import node_ready, path


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}},
            "/api/v1/namespaces/b/configmaps/a",
        ),
        (
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}},
            "/apis/apps/v1/namespaces/default/deployments/a",
        ),
        ({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "m"}}, "/api/v1/nodes/m"),
        (
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "x"}},
            "/apis/storage.k8s.io/v1/storageclasses/x",
        ),
    ],
)
def test_api_paths(item: dict[str, object], expected: str) -> None:
    assert path(item) == expected


def test_readiness_is_what_the_node_says() -> None:
    assert node_ready({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}) == (
        True,
        "Ready",
    )
    assert node_ready(
        {"status": {"conditions": [{"type": "Ready", "status": "False", "message": "no network"}]}}
    ) == (False, "no network")
    assert node_ready({})[0] is False


@pytest.mark.parametrize(
    ("kind", "version", "space", "expected"),
    [
        (
            "Community",
            "metallb.io/v1beta1",
            "s",
            "/apis/metallb.io/v1beta1/namespaces/s/communities/x",
        ),
        ("StorageClass", "storage.k8s.io/v1", "", "/apis/storage.k8s.io/v1/storageclasses/x"),
        (
            "NetworkPolicy",
            "networking.k8s.io/v1",
            "s",
            "/apis/networking.k8s.io/v1/namespaces/s/networkpolicies/x",
        ),
        ("Endpoints", "v1", "s", "/api/v1/namespaces/s/endpoints/x"),
        (
            "PriorityClass",
            "scheduling.k8s.io/v1",
            "",
            "/apis/scheduling.k8s.io/v1/priorityclasses/x",
        ),
        (
            "CustomResourceDefinition",
            "apiextensions.k8s.io/v1",
            "",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x",
        ),
    ],
)
def test_paths_of_objects(kind: str, version: str, space: str, expected: str) -> None:
    assert (
        path({"kind": kind, "apiVersion": version, "metadata": {"name": "x", "namespace": space}})
        == expected
    )
