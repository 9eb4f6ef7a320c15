"""Add-ons without a cluster: what they render, what the table of versions says, what is refused."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

from lab.addons import addon, catalog, helm, requirements
from lab.addons import record as addonrecord
from lab.addons.addon import AddonContext, Chart, Needs
from lab.addons.catalog import loadbalancer, local_storage, metrics_server
from lab.addons.catalog.prometheus import chart_values
from lab.addons.catalog.prometheus import rules as _prometheus_rules
from lab.addons.manager import AddonManager, known
from lab.addons.record import AddonState
from lab.base import paths
from lab.base.errors import InputError
from lab.base.progress import Silent
from lab.engine.commands import Result
from lab.images import versions
from lab.images.archive import full_name
from lab.kube import pki
from lab.kube.api import ApiError
from lab.kube.objects import path
from lab.live.access import Access, Credentials
from lab.nodes import distributions
from lab.topology import loader

if TYPE_CHECKING:
    from pathlib import Path

    from lab.images.builder import Builder
    from lab.kube.api import KubeApi
    from lab.topology.model import Topology

SECRETS = pki.new_secrets("test")
TABLE = versions.read(paths.shipped("images"))


def site(
    topology: Topology, distribution: str = "upstream", cluster: object = None, memory: str = ""
) -> AddonContext:
    """A site that renders; a node of it says how much memory is free, if anything."""

    def node(name: str) -> Any:
        if not memory:
            raise AssertionError(f"rendering asked for node {name}")
        return FakeNode(memory)

    chosen = distributions.find(distribution)
    access = Access(chosen, Credentials.of_secrets(chosen, SECRETS), 6443)
    return AddonContext(topology, access, cast("KubeApi", cluster), node)


@dataclass
class FakeNode:
    says: str

    def run(self, argv: list[str]) -> Result:
        return Result(0, self.says)


@dataclass
class FakeCluster:
    """Keeps objects by path, and what was asked of it; a double of the API server."""

    objects: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def find(self, place: str) -> Any:
        return self.objects.get(place)

    def request(self, method: str, place: str, body: Any = None, **_: Any) -> None:
        self.asked.append((method, place))
        if method == "POST":
            self.objects[f"{place}/{body['metadata']['name']}"] = body
        else:
            merged = self.objects[place].get("data", {}) | body["data"]
            self.objects[place]["data"] = {
                key: value for key, value in merged.items() if value is not None
            }

    def nodes(self) -> dict[str, Any]:
        condition = {"type": "Ready", "status": "True"}
        return {name: {"status": {"conditions": [condition]}} for name in ("m", "w1")}


def rendering(topology: Topology, name: str) -> AddonContext:
    """A site to render an add-on for. Ceph chooses nodes that are Ready and run: here all do."""
    if name != "ceph":
        return site(topology, cluster=SimpleNamespace(release=lambda: "v1.36.3"))
    condition = {"type": "Ready", "status": "True"}
    rows = {node.name: {"status": {"conditions": [condition]}} for node in topology.nodes}
    cluster = SimpleNamespace(find=lambda _: None, nodes=lambda: rows)
    return replace(site(topology, cluster=cluster), node=lambda _: SimpleNamespace(running=True))


def named_images(value: Any) -> set[str]:
    """Every image that objects name, in pods' templates inside of text, too."""
    return set(
        re.findall(r'"image": "([^"]+)"', json.dumps(value).replace("\\\\", "").replace("\\", ""))
    )


@pytest.mark.parametrize("name", [name for name in catalog.names() if name != "prometheus"])
def test_every_image_of_the_manifests_is_in_the_table_and_loaded(
    topology: Topology, name: str
) -> None:
    addon = catalog.find(name)
    images = named_images(addon.manifests(rendering(topology, name)))
    brought = {TABLE.addons[image.name] for image in addon.images(site(topology))}
    assert images
    assert images <= brought | set(TABLE.pods.values())
    assert brought <= images


def test_prometheus_values_name_the_tables_images(topology: Topology) -> None:
    named = {f"{name}:{tag}" for name, tag in chart_values.IMAGES.values()}
    assert named == {
        TABLE.addons[image.name] for image in catalog.find("prometheus").images(site(topology))
    }


def test_constants_are_the_tables() -> None:
    assert TABLE.addons["metrics-server"] == metrics_server.IMAGE
    assert {local_storage.IMAGE, local_storage.HELPER_IMAGE} == {
        TABLE.addons["local-path-provisioner"],
        TABLE.pods["toolbox"],
    }
    assert TABLE.addons["metallb-speaker"].endswith(loadbalancer.VERSION)


@pytest.mark.parametrize("name", catalog.names())
def test_manifests_are_the_same_twice_and_have_paths(topology: Topology, name: str) -> None:
    addon = catalog.find(name)
    first = addon.manifests(rendering(topology, name))
    assert first == addon.manifests(rendering(topology, name))
    assert len({path(item) for item in first}) == len(first)


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


def test_the_pool_is_the_last_28_without_what_is_used(topology: Topology) -> None:
    assert [str(ip) for ip in topology.service_addresses][
        :: len(topology.service_addresses) - 1
    ] == ["172.30.0.240", "172.30.0.254"]
    network = replace(topology.network, pool=IPv4Network("172.30.0.40/29"))
    assert [str(ip) for ip in replace(topology, network=network).service_addresses] == [
        f"172.30.0.{last}" for last in (44, 45, 46)
    ]


POOL = """version: 1
name: p
network: {{subnet: 172.30.0.0/24, vip: 172.30.0.50, pool: {pool}}}
nodes: {{m: {{role: master, ip: 172.30.0.49}}}}
loadbalancer: {{ip: 172.30.0.40}}
"""


def test_a_pool_is_judged() -> None:
    assert (
        str(loader.parse(POOL.format(pool="172.30.0.64/28"), "f").topology.network.pool)
        == "172.30.0.64/28"
    )
    for pool, words in (
        ("172.30.1.0/28", "is outside `network.subnet`"),
        ("172.30.0.50/31", ""),
        ("172.30.0.0/31", "has no address that is free"),
    ):
        if words:
            with pytest.raises(InputError, match=words):
                loader.parse(POOL.format(pool=pool), "f")
        else:
            assert len(loader.parse(POOL.format(pool=pool), "f").topology.service_addresses) == 1


def test_alerts_have_names_of_the_mixins_and_a_labs_times() -> None:
    rules = [rule for group in _prometheus_rules.GROUPS for rule in group["rules"]]
    names = {rule["alert"] for rule in rules}
    assert len(names) == len(rules)
    assert names >= {
        "etcdMembersDown",
        "etcdInsufficientMembers",
        "etcdNoLeader",
        "KubeNodeNotReady",
        "KubeletDown",
        "KubeAPIDown",
    }
    assert all(10 <= int(rule["for"].removesuffix("s")) <= 30 for rule in rules)


def test_scrape_jobs_do_not_meet_those_of_the_public_chart(topology: Topology) -> None:
    jobs = chart_values.jobs(topology)
    names = [job["job_name"] for job in jobs]
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith(("kubernetes-", "prometheus"))]
    etcd = next(job for job in jobs if job["job_name"] == "etcd")
    assert [row["targets"] for row in etcd["static_configs"]] == [
        ["172.30.0.49:2381"],
        ["172.30.0.48:2381"],
        ["172.30.0.47:2381"],
    ]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("registry.k8s.io/a/b:1", "registry.k8s.io/a/b:1"),
        ("rancher/x:1", "docker.io/rancher/x:1"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("localhost/x:1", "localhost/x:1"),
    ],
)
def test_names_of_images_in_full(name: str, full: str) -> None:
    assert full_name(name) == full


def test_a_record_remembers_and_forgets() -> None:
    cluster = FakeCluster()
    record = addonrecord.Record(cast("KubeApi", cluster))
    assert record.rows() == {}
    record.write("prometheus", AddonState(enabled=True, digest="d", options={"chart": "x"}))
    record.write("dns-ha", AddonState(disabled=True))
    assert record.rows() == {
        "prometheus": AddonState(enabled=True, digest="d", options={"chart": "x"}),
        "dns-ha": AddonState(disabled=True),
    }
    assert addonrecord.enabled(("dns-ha", "metrics-server"), record.rows()) == (
        "metrics-server",
        "prometheus",
    )
    record.write("prometheus", None)
    assert set(record.rows()) == {"dns-ha"}


def test_only_stamped_objects_are_an_addons_own() -> None:
    item = {"kind": "ConfigMap", "metadata": {"name": "x", "labels": {"a": "b"}}}
    assert addonrecord.is_stamped("one", addonrecord.stamped("one", item))
    assert not addonrecord.is_stamped("two", addonrecord.stamped("one", item))
    assert not addonrecord.is_stamped("one", item)
    assert not addonrecord.is_stamped("one", None)


def test_an_unknown_addon_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(InputError, match="no add-on `promtheus`") as error:
        known("promtheus")
    assert error.value.hint == "did you mean `prometheus`?"


def test_no_memory_is_refused_beforehand_with_the_figure(topology: Topology) -> None:
    class Hungry(addon.Addon):
        name, summary = "hungry", ""

        def needs(self, _: AddonContext) -> Needs:
            return Needs(memory_mib=5000)

        def prepare(self, _: AddonContext) -> NoReturn:
            raise AssertionError("something was done")

    here = site(topology, cluster=FakeCluster(), memory="812\n")
    with pytest.raises(
        InputError,
        match="needs 5000 MiB of memory, 812 MiB are free on the engine's machine; nothing was",
    ):
        requirements.check(Hungry(), here, running=False)


@pytest.mark.parametrize(
    ("name", "why"),
    [("dns-ha", "the cluster was made with it"), ("metrics-server", "k3s brings it itself")],
)
def test_what_the_cluster_stands_on_is_not_disabled(
    topology: Topology, name: str, why: str
) -> None:
    addons = AddonManager(
        cast("Builder", None), site(topology, "k3s", FakeCluster()), Silent(), threading.Event()
    )
    with pytest.raises(InputError, match=why):
        addons.disable(name)


def test_sources_of_charts(tmp_path: Path) -> None:
    for good in ("oci://example.org/charts/prometheus", "prometheus-community/prometheus"):
        helm.check_source(good)
    for bad, why in (
        ("nobody/prometheus", "is no chart"),
        (str(tmp_path / "none"), "no chart at"),
        (str(tmp_path), "no chart at"),
    ):
        with pytest.raises(InputError, match=why):
            helm.check_source(bad)
    (tmp_path / "Chart.yaml").write_text("name: x")
    helm.check_source(str(tmp_path))
    chart = Chart(release="x", namespace="y", source=str(tmp_path), values={"a": 1})
    before = helm.fingerprint(chart)
    assert before == helm.fingerprint(chart)
    assert before != helm.fingerprint(replace(chart, values={"a": 2}))
    (tmp_path / "Chart.yaml").write_text("name: z")
    assert before != helm.fingerprint(chart)


def test_an_api_error_keeps_its_status() -> None:
    assert ApiError(404, "gone").status == 404
