"""Ceph's manifests and disks: no disk of the host can ever be reached, and names are upstream's."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import subprocess
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lab.addons.catalog.ceph import ALLOWED, working
from lab.addons.catalog.ceph import _lost as lost
from lab.addons.catalog.ceph import osd_disk as disk
from lab.addons.catalog.ceph import rook as _rook
from lab.addons.catalog.ceph.client import Health
from lab.base import paths, yaml_files
from lab.base.errors import CommandFailed, InputError, LabError
from lab.base.wait import Observation
from lab.images import versions
from lab.scenarios import ceph_steps
from lab.scenarios.ceph_steps import CephSteps
from lab.topology.scenario_file import CEPH

if TYPE_CHECKING:
    from lab.topology.model import Topology

NODES = ("w1", "w3", "m2")


def test_every_node_has_a_device_of_its_own_that_stays_the_same(topology: Topology) -> None:
    numbers = disk.numbers(topology)
    assert len(set(numbers.values())) == len(topology.nodes)
    assert numbers == disk.numbers(topology)
    assert not set(numbers.values()) & set(disk.numbers(replace(topology, name="other")).values())
    assert all(disk.FIRST <= number < 2**20 for number in numbers.values())


def test_numbers_that_meet_within_a_lab_give_way(
    topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "digest", lambda _: "0")
    assert sorted(disk.numbers(topology).values()) == list(
        range(disk.FIRST, disk.FIRST + len(topology.nodes))
    )


@pytest.mark.parametrize(
    "name",
    [
        "sda",
        "vda",
        "nvme0n1",
        "loop0",
        "loop999",
        "/dev/loop1234",
        "loop1234p1",
        "loop",
        "",
        "dm-0",
        "loop1 sda",
        "loop9999999",
    ],
)
def test_no_other_device_is_ever_given_to_ceph(name: str) -> None:
    with pytest.raises(InputError, match="may not have"):
        disk.checked(name)


def test_the_cluster_names_nodes_and_devices_and_nothing_that_finds_more(
    topology: Topology,
) -> None:
    storage = _rook.cluster(topology, NODES)["spec"]["storage"]
    assert storage["useAllNodes"] is False
    assert storage["useAllDevices"] is False
    assert [(row["name"], row["devices"][0]["name"]) for row in storage["nodes"]] == [
        (name, disk.device(topology, name)) for name in NODES
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"useAllDevices": True},
        {"useAllNodes": True},
        {"deviceFilter": "^sd"},
        {"devicePathFilter": "/dev/disk"},
        {"storageClassDeviceSets": [{}]},
        {"nodes": [{"name": "w1", "deviceFilter": "."}]},
        {"nodes": [{"name": "w1", "useAllDevices": True}]},
        {"nodes": [{"name": "w1", "devices": [{"name": "sda"}]}]},
        {"devices": [{"name": "vda"}]},
        {"nodes": [{"name": "w1", "devices": [{"name": "loop4321", "fullpath": "/dev/sda"}]}]},
    ],
)
def test_a_cluster_that_could_reach_a_disk_of_the_host_is_refused(
    topology: Topology, change: dict[str, Any]
) -> None:
    item = _rook.cluster(topology, NODES)
    item["spec"]["storage"] |= change
    with pytest.raises(InputError):
        _rook.refuse_foreign_disks(item)


def test_three_monitors_and_osds_tolerate_masters_and_share_no_node(topology: Topology) -> None:
    spec = _rook.cluster(topology, NODES)["spec"]
    assert spec["mon"] == {"count": 3, "allowMultiplePerNode": False}
    assert spec["placement"]["all"]["tolerations"] == [
        {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
    ]
    assert _rook.pool()["spec"]["failureDomain"] == "host"


def test_the_disk_script_refuses_a_dev_of_the_hosts_and_keeps_its_own_device(
    topology: Topology,
) -> None:
    text = disk.script(topology, "w1")
    assert (
        subprocess.run(
            [shutil.which("bash") or "bash", "-n"], input=text, text=True, check=False
        ).returncode
        == 0
    )
    lines = text.splitlines()
    own = next(index for index, line in enumerate(lines) if "/proc/self/mounts" in line)
    removal = next(index for index, line in enumerate(lines) if "-delete" in line)
    assert own < removal, "nothing is removed before /dev is known to be the node's own"
    assert '! -path "$device"' in lines[removal]
    assert f"/dev/{disk.device(topology, 'w1')}" in text
    files = {file.path: file for file in disk.files(topology, "w1")}
    assert (
        files[f"/etc/systemd/system/multi-user.target.wants/{disk.UNIT}.service"].link
        == f"/etc/systemd/system/{disk.UNIT}.service"
    )
    assert files[disk.SCRIPT].mode == 0o755


def test_names_and_versions_agree() -> None:
    table = versions.read(paths.shipped("images"))
    assert table.addons["rook"] == _rook.IMAGE
    assert table.addons["ceph"] == _rook.CEPH_IMAGE
    rook, manifests = table.components["rook"], table.components["rook-manifests"]
    assert rook.version == manifests.version == _rook.IMAGE.partition(":")[2]
    required = re.search(
        r"github.com/rook/rook (v\S+)", (paths.shipped("images") / "rook" / "go.mod").read_text()
    )
    assert required is not None
    assert required[1] == rook.version


def test_of_published_manifests_csi_is_left_out_and_schemas_lose_descriptions_only() -> None:
    schema = {
        "description": "text",
        "properties": {"description": {"type": "string", "description": "text"}},
        "items": [{"description": "x"}],
    }
    item = {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "cephclusters.ceph.rook.io"},
        "spec": schema,
    }
    kept = _rook.kept(item)
    assert kept is not None
    assert kept["spec"] == {"properties": {"description": {"type": "string"}}, "items": [{}]}
    assert _rook.kept({"kind": "ClusterRole", "metadata": {"name": "rbd-csi-nodeplugin"}}) is None
    role = {"kind": "ClusterRole", "metadata": {"name": "rook-ceph-system"}, "description": "kept"}
    assert _rook.kept(role) == role


def test_published_manifests_are_read_as_yaml_means_them() -> None:
    assert yaml_files.documents("a: 1\n---\n---\nb: [true, no]\n") == [
        {"a": 1},
        {"b": [True, False]},
    ]
    with pytest.raises(Exception, match="manifests"):
        yaml_files.documents("a: [")


@pytest.mark.parametrize(
    ("status", "codes", "good"),
    [
        ("HEALTH_OK", (), True),
        ("HEALTH_WARN", tuple(ALLOWED), True),
        ("HEALTH_WARN", ("OSD_DOWN",), False),
        ("HEALTH_WARN", ("SLOW_OPS", "PG_DEGRADED"), False),
        ("HEALTH_ERR", (), False),
        ("HEALTH_ERR", ("SLOW_OPS",), False),
    ],
)
def test_health_is_good_enough_for_allowed_reasons_only(
    status: str, codes: tuple[str, ...], *, good: bool
) -> None:
    assert working(status, codes) is good


class DoubleCeph:
    """A double of the client: keeps objects, and what was killed; all is well with it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.found: object = None
        self.site = SimpleNamespace(cluster=SimpleNamespace(find=lambda _: self.found))

    def hosts(self, app: str) -> tuple[str, ...]:
        return ("m", "m2", "m3", "w1", "w2", "w3") if app == "rook-ceph-tools" else NODES

    def health(self) -> Health:
        counts = {"osds_up": 3, "osds_in": 3, "osds": 3, "pgs": 9, "pgs_clean": 9}
        return Health(status="HEALTH_OK", codes=(), quorum=("a", "b", "c"), mgr=True, **counts)

    def kill(self, app: str) -> tuple[str, str]:
        return f"{app}-x", "w1"

    def put(self, node: str, name: str, content: bytes) -> str:
        self.objects[name] = content
        return hashlib.sha256(content).hexdigest()

    def checksum(self, node: str, name: str) -> str:
        return hashlib.sha256(self.objects[name]).hexdigest()


@pytest.fixture
def ceph() -> DoubleCeph:
    return DoubleCeph()


@pytest.fixture
def noted() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def steps(topology: Topology, noted: list[tuple[str, str]], ceph: Any) -> CephSteps:
    lab: Any = SimpleNamespace(
        name="l", topology=topology, node=lambda _: SimpleNamespace(running=True)
    )
    return CephSteps(
        lab,
        threading.Event(),
        lambda kind, *, action, **values: noted.append((values["id"], action)),
        lambda _: contextlib.nullcontext(ceph),
    )


def test_every_step_of_ceph_that_a_file_may_name_can_be_carried_out(
    ceph: DoubleCeph, steps: CephSteps
) -> None:
    assert all(steps.run(step, 1) for step in CEPH)
    assert len(steps.objects) == 2


def test_pods_that_are_killed_are_faults_of_the_history_until_they_are_back(
    ceph: DoubleCeph, steps: CephSteps, noted: list[Any]
) -> None:
    steps.run("kill", 1)
    assert noted == [
        (f"rook-ceph-{word}-x", action) for word in ("osd", "mon") for action in ("fire", "proof")
    ]
    steps.run("recover", 1)
    assert noted[4:] == [(f"rook-ceph-{word}-x", "healed") for word in ("osd", "mon")]


def test_a_step_waits_as_long_as_it_says(
    ceph: DoubleCeph, steps: CephSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def until(what: str, ask: object, *, timeout_s: float, **_: object) -> Observation:
        given.append(timeout_s)
        return Observation(ok=True, detail="")

    monkeypatch.setattr(ceph_steps, "until", until)
    steps.run("check", 180)
    steps.run("recover", 300)
    assert given == [300]


def test_a_cluster_that_was_there_before_proves_nothing(ceph: DoubleCeph, steps: CephSteps) -> None:
    ceph.found = {"kind": "CephCluster"}
    with pytest.raises(LabError, match="has a Ceph cluster already") as caught:
        steps.run("absent", 1)
    assert "halab addon disable l ceph" in caught.value.hint


def test_everything_is_read_through_every_node_once_it_has_a_client(
    ceph: DoubleCeph, steps: CephSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.run("write", 1)
    assert "through m, m2, m3, w1, w2, w3;" in steps.run("reread", 1)
    monkeypatch.setattr(DoubleCeph, "hosts", lambda *_: ("m", "m2", "m3", "w1", "w3"))
    with pytest.raises(LabError, match="no client yet on w2"):
        steps.run("reread", 0)


def test_a_reader_whose_answer_is_late_is_asked_again(
    ceph: DoubleCeph, steps: CephSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.run("write", 1)
    late = {"w1": 2}
    checksum = DoubleCeph.checksum

    def sometimes_late(double: DoubleCeph, node: str, name: str) -> str:
        if late.get(node):
            late[node] -= 1
            raise CommandFailed("rook-ceph-tools-x", ("rados", "get"), 124, "")
        return checksum(double, node, name)

    monkeypatch.setattr(DoubleCeph, "checksum", sometimes_late)
    monkeypatch.setattr(ceph_steps, "EVERY_S", 0.001)
    assert "through m, m2, m3, w1, w2, w3;" in steps.run("reread", 60)
    assert late == {"w1": 0}


def test_another_checksum_is_told(ceph: DoubleCeph, steps: CephSteps) -> None:
    steps.run("write", 1)
    ceph.objects = dict.fromkeys(ceph.objects, b"other")
    with pytest.raises(LabError, match="does not hold"):
        steps.run("reread", 1)


def test_a_node_that_was_lost_after_it_was_chosen_is_named(topology: Topology) -> None:
    def condition(status: str) -> dict[str, Any]:
        return {"status": {"conditions": [{"type": "Ready", "status": status}]}}

    nodes = {
        node.name: condition("Unknown" if node.name == "w3" else "True") for node in topology.nodes
    }
    standing = {"spec": {"storage": {"nodes": [{"name": name} for name in NODES]}}}
    site: Any = SimpleNamespace(
        topology=topology, cluster=SimpleNamespace(find=lambda _: standing, nodes=lambda: nodes)
    )
    assert lost(site) == "; not Ready, and chosen for an OSD: w3"
    nodes["w3"] = condition("True")
    assert not lost(site)
