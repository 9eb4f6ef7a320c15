"""What the bench of kubeadm generates and prints; no cluster is made."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from lab.engine.spec import CPU_SHARES
from lab.topology import loader

if TYPE_CHECKING:
    from types import ModuleType

    from lab.topology.model import Topology

ROOT = Path(__file__).parents[3]
BENCH = ROOT / "tests" / "bench"
VERSION = "v1.36.3"


@pytest.fixture(autouse=True)
def _bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def topology() -> Topology:
    return loader.load(ROOT / "topologies" / "3m3w.yaml", (), "kadm").topology


def documents(name: str) -> dict[str, dict]:
    config = module("kubeadm_config")
    admission = config.Admission("abcdef.0123456789abcdef", "0" * 64)
    lab = topology()
    parts = config.documents(lab, lab.node(name), admission, VERSION)
    return {part["kind"]: part for part in yaml.safe_load_all(config.rendered(parts))}


def test_first_master_initialises_behind_the_load_balancer() -> None:
    parts = documents("m")
    cluster = parts["ClusterConfiguration"]
    assert cluster["controlPlaneEndpoint"] == "172.30.0.40:6443"
    assert cluster["kubernetesVersion"] == VERSION
    assert cluster["networking"]["podSubnet"] == "10.42.0.0/16"
    assert parts["InitConfiguration"]["certificateKey"] == "0" * 64
    assert parts["KubeletConfiguration"]["failCgroupV1"] is False


@pytest.mark.parametrize(("name", "control"), [("m2", True), ("m3", True), ("w1", False)])
def test_others_join_and_only_masters_as_control_planes(name: str, *, control: bool) -> None:
    parts = documents(name)
    assert list(parts) == ["JoinConfiguration"]
    join = parts["JoinConfiguration"]
    assert ("controlPlane" in join) is control
    assert join["discovery"]["bootstrapToken"]["apiServerEndpoint"] == "172.30.0.40:6443"
    assert join["nodeRegistration"]["name"] == name


def test_images_of_the_configuration_are_those_that_are_made() -> None:
    config, image = module("kubeadm_config"), module("kubeadm_image")
    made = image.names(VERSION)
    cluster = documents("m")["ClusterConfiguration"]
    etcd = f"{cluster['imageRepository']}/etcd:{cluster['etcd']['local']['imageTag']}"
    daemons = config.flannel(topology())["items"][-1]
    flannel = daemons["spec"]["template"]["spec"]["containers"][0]["image"]
    server = f"{cluster['imageRepository']}/kube-apiserver:{cluster['kubernetesVersion']}"
    assert {etcd, flannel, server} <= set(made)


def test_flannel_asks_the_load_balancer_and_has_the_labs_pod_network() -> None:
    items = module("kubeadm_config").flannel(topology())["items"]
    settings = next(item for item in items if item["kind"] == "ConfigMap")
    assert json.loads(settings["data"]["net-conf.json"])["Network"] == "10.42.0.0/16"
    env = items[-1]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "KUBERNETES_SERVICE_HOST", "value": "172.30.0.40"} in env


def test_kubelet_unit_quotes_values_with_spaces() -> None:
    """systemd takes an unquoted value up to its first space: kubelet would have no kubeconfig."""
    unit = module("kubeadm_config").KUBELET_UNIT
    values = [
        line.removeprefix("Environment=")
        for line in unit.splitlines()
        if line.startswith("Environment=")
    ]
    assert all(value[0] == value[-1] == '"' for value in values if " " in value)


def test_machines_are_the_labs_own_without_controllers_and_management_network() -> None:
    machines, lab = module("kubeadm_machines"), topology()
    tags = {name: f"halab/{name}:x" for name in ("upstream", "loadbalancer", "bmc")}
    want = machines.desired(lab, "halab/kubeadm:x", tags)
    assert [network.name for network in want.networks] == ["halab-kadm"]
    images = {spec.hostname: spec.image for spec in want.containers}
    assert images.pop("lb") == "halab/loadbalancer:x"
    assert images == dict.fromkeys(("m", "m2", "m3", "w1", "w2", "w3"), "halab/kubeadm:x")
    assert all(not spec.more for spec in want.containers)
    assert {spec.cpu_shares for spec in want.containers} == {4 * CPU_SHARES}
    assert "halab-kadm-m-etcd" in want.volumes
    assert "halab-kadm-secrets" not in want.volumes


def test_table_has_medians_ratios_of_pairs_and_reasons() -> None:
    bench = module("kubeadm")
    figures = bench.Figures()
    for slow, quick in ((90.0, 30.0), (80.0, 20.0), (100.0, 20.0)):
        figures.note(bench.KUBEADM_TOTAL, slow)
        figures.note(bench.START, quick)
    figures.skipped["k3d"] = "there is no program"
    lines = figures.table().splitlines()
    assert next(line for line in lines if line.startswith(bench.KUBEADM_TOTAL)).split()[3:5] == [
        "90.00",
        "100.00",
    ]
    ratio = next(line for line in lines if " / " in line).removeprefix(
        f"{bench.KUBEADM_TOTAL} / {bench.START}"
    )
    assert ratio.split() == ["4.00", "3.00", "3.00", "4.00", "5.00"]
    assert lines[-1].split(maxsplit=1) == ["k3d", "skipped: there is no program"]


def test_rival_without_its_program_says_so() -> None:
    rival = module("others").Rival("no-such-program", ("x",), ("x",))
    assert "no-such-program" in module("others").measure(rival)


@pytest.mark.parametrize("nodes", [1, 2, 3, 6, 10, 16])
def test_growing_topologies_are_valid_and_have_that_many_nodes(nodes: int, tmp_path: Path) -> None:
    growth = module("growth")
    file = tmp_path / "grown.yaml"
    file.write_text(growth.topology(nodes, growth.SUBNET))
    grown = loader.load(file).topology
    assert (len(grown.masters), len(grown.workers)) == growth.shape(nodes)
    assert len(grown.nodes) == nodes


def test_growth_table_has_the_medians_of_each_size() -> None:
    growth = module("growth")
    runs = [[10.0, 1.0, 0.5, 0.1], [30.0, 1.0, 0.5, 0.1], [20.0, 1.0, 0.5, 0.1]]
    assert growth.table({6: runs}).splitlines()[1].split() == [
        "6",
        "3m3w",
        "20.00",
        "1.00",
        "0.50",
        "0.10",
    ]


def test_memory_leaves_out_what_could_be_dropped_under_both_kinds_of_cgroups() -> None:
    resources = module("resources")
    for name in ("inactive_file", "total_inactive_file"):
        stats = {"memory_stats": {"usage": 100, "stats": {name: 30}}}
        assert resources.memory(stats) == 70


def test_cores_are_processor_time_over_the_engines_own_clock() -> None:
    def look(read: str, spent: int) -> dict:
        return {"read": read, "cpu_stats": {"cpu_usage": {"total_usage": spent}}}

    before = look("2026-01-02T03:04:05.500000001Z", 1_000_000_000)
    after = look("2026-01-02T03:04:15.5Z", 6_000_000_000)
    assert module("resources").cores(before, after) == pytest.approx(0.5)
