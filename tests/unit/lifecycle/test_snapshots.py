"""Snapshots: what is saved of a lab, what a lab gets of it, and the bad days between."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snapshot_engine import SnapshotEngine

from lab.base import locks
from lab.base.errors import EngineError, InputError, LabError
from lab.base.wait import Observation
from lab.engine.files import File
from lab.engine.labels import (
    LABEL,
    LABEL_HELPER,
    LABEL_NODE,
    LABEL_SNAPSHOT,
    LABEL_SNAPSHOT_RECORD,
    container_name,
    secrets_volume,
)
from lab.host import network
from lab.kube import pki
from lab.lifecycle import boot, networks, removal, snapshot_restore, snapshot_save, volumes_archive
from lab.lifecycle import start as starting
from lab.live import snapshots, steady_state
from lab.live.lab import Lab, find
from lab.nodes.distributions.upstream import DISTRIBUTION as UPSTREAM
from lab.topology import loader
from lab.topology.model import to_json

SHIPPED = Path(__file__).parents[3] / "topologies"
SMALL = loader.load(SHIPPED / "1m1w.yaml").topology
TAGS = {name: f"halab/{name}:1" for name in ("upstream", "k3s", "loadbalancer", "bmc")}
SUBNET = IPv4Network("172.30.7.0/24")
ETCD = "/var/lib/etcd/data/member/wal/0.wal"
DISK = "/opt/local-path-provisioner/pvc/file"
SECRETS = pki.new_secrets("drawn once")


@pytest.fixture(autouse=True)
def builder(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A quiet host, images that are here, nodes that are ready and labs that are whole at once."""
    monkeypatch.setattr(network, "routes", dict)
    monkeypatch.setattr(network, "RESOLVERS", ())
    monkeypatch.setattr(network, "free_port", lambda wanted: wanted)
    monkeypatch.setattr(removal, "SETTLE_S", 0)
    monkeypatch.setattr(pki, "new_secrets", lambda _: SECRETS)
    monkeypatch.setattr(steady_state, "steady", lambda _: Observation(ok=True, detail="steady"))
    double = SimpleNamespace(
        missing=lambda *_: [], tags=dict(TAGS), sources=SimpleNamespace(arch="amd64")
    )
    monkeypatch.setattr(Lab, "builder", lambda _: double)
    monkeypatch.setattr(boot, "await_admitting", lambda *_: None)
    monkeypatch.setattr(starting, "MAKE", (*starting.MAKE[:-1], lambda _: None))
    return double


@pytest.fixture
def engine() -> SnapshotEngine:
    """An engine with a lab that runs and has data: etcd's, and a pod's on a worker's disk."""
    engine = SnapshotEngine()
    starting.start(lab(engine), "upstream")
    engine.put("halab-1m1w-m", [File(path=ETCD, content=b"a ConfigMap")])
    engine.put("halab-1m1w-w1", [File(path=DISK, content=b"a pod's")])
    engine.calls.clear()
    return engine


def lab(engine: SnapshotEngine, topology: Any = SMALL) -> Lab:
    return Lab(engine, topology)  # type: ignore[arg-type]


def save(engine: SnapshotEngine, name: str = "mine") -> None:
    snapshot_save.save(find(engine, "1m1w"), name)  # type: ignore[arg-type]


def start_from(engine: SnapshotEngine, saved: str = "mine", **more: Any) -> Lab:
    snapshot = snapshots.find(engine, saved)  # type: ignore[arg-type]
    made = lab(engine, snapshot_restore.topology(snapshot, **more))
    starting.start(made, snapshot=snapshot)
    return made


def every(engine: SnapshotEngine) -> dict[str, snapshots.Snapshot]:
    return snapshots.every(engine)  # type: ignore[arg-type]


def destroy(engine: SnapshotEngine, name: str = "1m1w") -> None:
    removal.destroy(engine, name, lab(engine).reporter)  # type: ignore[arg-type]


def content(engine: SnapshotEngine, name: str, node: str, path: str) -> bytes:
    return engine._disk(container_name(name, node), path)[path].content


def runs(engine: SnapshotEngine, name: str = "1m1w") -> set[str]:
    prefix = f"halab-{name}-"
    return {each.removeprefix(prefix) for each in engine.running() if each.startswith(prefix)}


ALL = {"m", "w1", "lb", "bmc"}

# --- saving ---


def test_a_snapshot_is_saved_of_machines_that_are_off_and_they_run_again(
    engine: SnapshotEngine,
) -> None:
    save(engine)
    commits = [index for index, call in enumerate(engine.calls) if call.startswith("commit")]
    stops = [index for index, call in enumerate(engine.calls) if call.startswith("stop halab-")]
    starts = [index for index, call in enumerate(engine.calls) if call.startswith("start halab-")]
    assert len(stops) == len(starts) == 4
    assert max(stops) < min(commits) < max(commits) < min(starts)
    assert runs(engine) == ALL
    assert not [name for name in engine.containers if name.startswith("helper")]


def test_the_image_with_the_record_is_written_last(engine: SnapshotEngine) -> None:
    save(engine)
    commits = [call.split()[1] for call in engine.calls if call.startswith("commit")]
    assert commits[-1] == "halab-snapshot/mine:lab.secrets"
    assert set(commits[:-1]) == {
        f"halab-snapshot/mine:{tag}" for tag in ("m", "m.volumes", "w1", "w1.volumes")
    }
    snapshot = every(engine)["mine"]
    assert (snapshot.problem, snapshot.used_by) == ("", ())
    assert snapshot.record is not None
    assert snapshot.record.image == TAGS["upstream"]
    assert (snapshot.record.lab, snapshot.record.distribution) == ("1m1w", "upstream")
    assert snapshot.topology == find(engine, "1m1w").topology  # type: ignore[arg-type]


def test_no_image_of_a_snapshot_counts_as_a_part_of_the_lab(engine: SnapshotEngine) -> None:
    save(engine)
    labels = [image.labels for image in engine.committed.values()]
    assert [one for one in labels if one[LABEL] or one[LABEL_NODE]] == []
    helper = engine.create_helper("halab-snapshot/mine:m", ["true"], {})
    assert helper not in {one.name for one in engine.observe("1m1w").containers}


def test_a_lab_that_is_not_whole_is_not_saved(
    engine: SnapshotEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Observation(ok=False, detail="active fault: partition at m")
    monkeypatch.setattr(steady_state, "steady", lambda _: seen)
    with pytest.raises(LabError, match=r"not whole .active fault: partition at m.") as caught:
        save(engine)
    assert "halab fault heal 1m1w" in caught.value.hint
    assert engine.calls == []


def test_a_lab_of_another_build_is_not_saved(
    engine: SnapshotEngine, builder: SimpleNamespace
) -> None:
    builder.tags["upstream"] = "halab/upstream:2"
    with pytest.raises(LabError, match=r"another build .halab/upstream:1.; .* halab/upstream:2"):
        save(engine)
    assert engine.calls == []


def test_a_lab_that_is_measured_is_not_saved(engine: SnapshotEngine) -> None:
    with locks.alone("1m1w", "crash-worker"), pytest.raises(LabError, match="a run is going on"):
        save(engine)
    assert engine.calls == []


def test_a_name_that_is_taken_or_no_name_is_refused(engine: SnapshotEngine) -> None:
    save(engine)
    engine.calls.clear()
    with pytest.raises(InputError, match=r"a snapshot mine already .saved of lab 1m1w."):
        save(engine)
    with pytest.raises(InputError, match="no snapshot can be called so: `no/name`"):
        save(engine, "no/name")
    with pytest.raises(InputError, match="no snapshot can be called so: `no/name`"):
        snapshots.remove(engine, "no/name")  # type: ignore[arg-type]
    assert engine.calls == []


def test_two_cannot_write_one_snapshot(engine: SnapshotEngine) -> None:
    with (
        snapshots.working_on("mine"),
        pytest.raises(LabError, match="another halab is working on snapshot mine"),
    ):
        save(engine)
    assert engine.calls == []


@pytest.mark.parametrize("volumes", [0, 3, 5])
def test_of_a_disk_that_fills_up_nothing_is_left(engine: SnapshotEngine, volumes: int) -> None:
    engine.full = volumes
    with pytest.raises(LabError, match="No space left on device"):
        save(engine)
    assert engine.committed == {}
    assert runs(engine) == ALL
    assert not [name for name in engine.containers if name.startswith("helper")]


def test_a_lab_that_was_removed_meanwhile_is_not_made_anew(
    engine: SnapshotEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = snapshot_save.Saving.write

    def removed_afterwards(own: snapshot_save.Saving) -> Any:
        record = write(own)
        for name in [name for name in engine.containers if name.startswith("halab-1m1w-")]:
            del engine.containers[name]
        return record

    monkeypatch.setattr(snapshot_save.Saving, "write", removed_afterwards)
    with pytest.raises(LabError, match="lab 1m1w was removed meanwhile"):
        save(engine)
    assert runs(engine) == set()


def test_both_reasons_are_told_if_the_lab_does_not_run_again(
    engine: SnapshotEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any) -> None:
        raise LabError("the engine is gone")

    monkeypatch.setattr(snapshot_save, "start_again", refuse)
    engine.full = 0
    with pytest.raises(LabError, match=r"(?s)No space left.*the engine is gone") as caught:
        save(engine)
    assert "halab start 1m1w" in caught.value.hint


@pytest.mark.parametrize("step", ["commit halab-snapshot/mine:w1", "commit", "lab.secrets"])
def test_of_an_interrupted_one_nothing_is_left(engine: SnapshotEngine, step: str) -> None:
    engine.interrupts = step
    with pytest.raises(KeyboardInterrupt):
        save(engine)
    assert engine.committed == {}
    assert runs(engine) == ALL


def test_of_a_killed_one_the_rest_is_known_and_removed(engine: SnapshotEngine) -> None:
    engine.left = 12  # four machines stopped, and some of the images written
    with pytest.raises(LabError):
        save(engine)
    engine.left = 10_000
    assert engine.committed
    assert every(engine)["mine"].problem == "half written: saving it was interrupted"
    with pytest.raises(LabError, match="half written") as caught:
        start_from(engine)
    assert "halab snapshot remove mine" in caught.value.hint
    starting.start(lab(engine))
    with pytest.raises(InputError, match=r"a snapshot mine already .half written"):
        save(engine)
    snapshots.remove(engine, "mine")  # type: ignore[arg-type]
    assert engine.committed == {}
    save(engine)
    assert every(engine)["mine"].problem == ""


def test_a_damaged_one_is_not_used(engine: SnapshotEngine) -> None:
    save(engine)
    del engine.committed["halab-snapshot/mine:w1.volumes"]
    with pytest.raises(LabError, match=r"damaged: halab-snapshot/mine:w1.volumes is gone"):
        snapshots.find(engine, "mine")  # type: ignore[arg-type]
    save(engine, "other")
    foreign = engine.committed["halab-snapshot/other:w1.volumes"]
    foreign.labels[LABEL_SNAPSHOT] = "mine"
    engine.committed["halab-snapshot/mine:w1.volumes"] = foreign
    assert "written at another time" in every(engine)["mine"].problem


def test_a_newer_record_is_told_and_an_unreadable_one_is_no_bug(engine: SnapshotEngine) -> None:
    save(engine)
    labels = engine.committed["halab-snapshot/mine:lab.secrets"].labels
    record = json.loads(labels[LABEL_SNAPSHOT_RECORD])
    labels[LABEL_SNAPSHOT_RECORD] = json.dumps({**record, "format": 2, "more": 1})
    assert every(engine)["mine"].problem.startswith("written by a newer halab")
    labels[LABEL_SNAPSHOT_RECORD] = "{"
    assert every(engine)["mine"].problem.startswith("half written")


# --- a lab from one ---


def test_a_lab_from_a_snapshot_has_its_data_secrets_and_disks(engine: SnapshotEngine) -> None:
    save(engine)
    before = engine.volume(secrets_volume("1m1w")).files
    destroy(engine)
    assert not engine.volumes
    start_from(engine)
    assert content(engine, "1m1w", "m", ETCD) == b"a ConfigMap"
    assert content(engine, "1m1w", "w1", DISK) == b"a pod's"
    assert engine.volume(secrets_volume("1m1w")).files == before
    assert runs(engine) == ALL
    assert engine.containers["halab-1m1w-m"].image == "halab-snapshot/mine:m"
    assert engine.containers["halab-1m1w-lb"].image == TAGS["loadbalancer"]


def test_volumes_are_filled_before_a_container_has_them(engine: SnapshotEngine) -> None:
    save(engine)
    destroy(engine)
    engine.calls.clear()
    start_from(engine)
    made = [call for call in engine.calls if call.startswith(("create", "start"))]
    nodes = [index for index, call in enumerate(made) if "halab-1m1w" in call]
    unpacking = [
        index
        for index, call in enumerate(made)
        if engine.scripts.get(call.split()[1]) == volumes_archive.UNPACK
    ]
    assert max(unpacking) < min(nodes)


def test_restored_nodes_boot_at_once_with_machine_ids_of_their_own(
    topology: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SnapshotEngine()
    starting.start(lab(engine, topology), "k3s")
    snapshot_save.save(find(engine, "3m3w"), "big")  # type: ignore[arg-type]
    destroy(engine, "3m3w")

    def waited(*_: Any) -> None:
        raise AssertionError("the first master cannot have a quorum alone")

    monkeypatch.setattr(boot, "await_admitting", waited)
    start_from(engine, "big")
    files = engine.containers["halab-3m3w-m2"].files
    assert files["/etc/machine-id"].content == b""
    assert {snapshot_restore.MARK, snapshot_restore.PACEMAKER} <= files.keys()
    assert snapshot_restore.MARK not in engine.containers["halab-3m3w-w1"].files
    assert "/etc/machine-id" in engine.containers["halab-3m3w-w1"].files
    assert "/etc/machine-id" not in engine.containers["halab-3m3w-lb"].files


def test_a_snapshot_that_was_removed_while_a_lab_was_begun_from_it_makes_none(
    engine: SnapshotEngine, builder: SimpleNamespace
) -> None:
    save(engine)
    destroy(engine)

    def build_meanwhile(_: str) -> None:
        snapshots.remove(engine, "mine")  # type: ignore[arg-type]

    builder.missing, builder.build = lambda *_: ["bmc"], build_meanwhile
    with pytest.raises(LabError, match="removed or saved anew meanwhile; nothing was made"):
        start_from(engine)
    assert (engine.containers, engine.volumes, engine.networks) == ({}, {}, {})


def test_a_snapshot_is_not_removed_while_a_lab_claims_it(
    engine: SnapshotEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(engine)
    destroy(engine)
    own, refusals = networks.make, []

    def make(*given: Any) -> Any:
        with pytest.raises(LabError, match="another halab is working on snapshot mine"):
            snapshots.remove(engine, "mine")  # type: ignore[arg-type]
        refusals.append(given)
        return own(*given)

    monkeypatch.setattr(networks, "make", make)
    start_from(engine)
    assert (len(refusals), runs(engine)) == (1, ALL)


def test_a_start_waits_for_who_works_on_its_snapshot(
    engine: SnapshotEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(engine)
    destroy(engine)
    monkeypatch.setattr(snapshots, "CLAIM_S", 0)
    with snapshots.working_on("mine"), pytest.raises(LabError, match="snapshot mine is free"):
        start_from(engine)
    assert not engine.networks


def test_a_second_start_changes_nothing(engine: SnapshotEngine) -> None:
    save(engine)
    destroy(engine)
    start_from(engine)
    engine.put("halab-1m1w-m", [File(path=ETCD, content=b"newer")])
    engine.calls.clear()
    start_from(engine)
    assert starting.start(lab(engine)).plan.empty
    assert engine.calls == []
    del engine.containers["halab-1m1w-w1"]
    starting.start(find(engine, "1m1w"))  # type: ignore[arg-type]
    assert content(engine, "1m1w", "m", ETCD) == b"newer"
    assert content(engine, "1m1w", "w1", DISK) == b"a pod's"


@pytest.mark.parametrize("calls", [6, 9, 16, 20])
def test_a_killed_start_is_completed_by_the_next_one(engine: SnapshotEngine, calls: int) -> None:
    save(engine)
    destroy(engine)
    engine.left = calls
    with pytest.raises(LabError):
        start_from(engine)
    engine.left = 10_000
    starting.start(find(engine, "1m1w"))  # type: ignore[arg-type]
    assert runs(engine) == ALL
    assert content(engine, "1m1w", "m", ETCD) == b"a ConfigMap"
    assert content(engine, "1m1w", "w1", DISK) == b"a pod's"
    assert not [one for one in engine.containers.values() if one.labels.get(*LABEL_HELPER)]


def test_a_start_that_was_interrupted_takes_back_all(engine: SnapshotEngine) -> None:
    save(engine)
    destroy(engine)
    engine.interrupts = "create halab-1m1w-w1"
    with pytest.raises(KeyboardInterrupt):
        start_from(engine)
    assert (engine.containers, engine.volumes, engine.networks) == ({}, {}, {})
    assert every(engine)["mine"].problem == ""


def test_a_begun_lab_whose_snapshot_is_gone_is_not_completed_without_data(
    engine: SnapshotEngine,
) -> None:
    save(engine)
    destroy(engine)
    engine.full = 1
    with pytest.raises(LabError, match="No space left"):
        start_from(engine)
    engine.full = 10_000
    with pytest.raises(LabError, match="in use by 1m1w"):
        snapshots.remove(engine, "mine")  # type: ignore[arg-type]
    engine.committed.clear()
    with pytest.raises(LabError, match="was begun from snapshot mine") as caught:
        starting.start(find(engine, "1m1w"))  # type: ignore[arg-type]
    assert "halab destroy 1m1w" in caught.value.hint


def test_a_node_of_another_build_is_made_anew_of_that(
    engine: SnapshotEngine, builder: SimpleNamespace
) -> None:
    save(engine)
    destroy(engine)
    start_from(engine)
    del engine.containers["halab-1m1w-w1"]
    builder.tags["upstream"] = "halab/upstream:2"
    starting.start(find(engine, "1m1w"))  # type: ignore[arg-type]
    assert engine.containers["halab-1m1w-w1"].image == "halab/upstream:2"


def test_a_snapshot_in_use_stays(engine: SnapshotEngine) -> None:
    save(engine)
    destroy(engine)
    start_from(engine)
    with pytest.raises(LabError, match="in use by 1m1w"):
        snapshots.remove(engine, "mine")  # type: ignore[arg-type]
    assert every(engine)["mine"].problem == ""


def test_a_snapshot_of_a_lab_from_a_snapshot_names_the_first_image(engine: SnapshotEngine) -> None:
    save(engine)
    destroy(engine)
    start_from(engine)
    save(engine, "second")
    record = every(engine)["second"].record
    assert record is not None
    assert record.image == TAGS["upstream"]
    tars = "/halab-snapshot"
    disk = engine.committed["halab-snapshot/second:m"].files
    assert [path for path in disk if path.startswith(tars)] == []


# --- what does not fit ---


def test_another_build_and_another_architecture_are_refused(
    engine: SnapshotEngine, builder: SimpleNamespace
) -> None:
    save(engine)
    destroy(engine)
    snapshot = snapshots.find(engine, "mine")  # type: ignore[arg-type]
    wanted = lab(engine, snapshot_restore.topology(snapshot))
    said: list[str] = []
    wanted.reporter = SimpleNamespace(say=lambda _, text: said.append(text))  # type: ignore[assignment]
    assert not starting.preview(wanted, snapshot=snapshot).empty
    builder.tags["upstream"] = "halab/upstream:2"
    with pytest.raises(LabError, match=r"another build .halab/upstream:1, saved by halab 0.1.0"):
        start_from(engine)
    assert said == []
    assert not starting.preview(wanted, snapshot=snapshot).empty
    assert said[0].startswith("will be refused: snapshot mine is of nodes of another build")
    builder.sources.arch = "arm64"
    with pytest.raises(LabError, match="is for amd64, the engine runs on arm64"):
        start_from(engine)
    assert (engine.containers, engine.volumes, engine.networks) == ({}, {}, {})


def test_another_distribution_is_refused(engine: SnapshotEngine) -> None:
    save(engine)
    destroy(engine)
    snapshot = snapshots.find(engine, "mine")  # type: ignore[arg-type]
    made = lab(engine, snapshot_restore.topology(snapshot))
    with pytest.raises(InputError, match="snapshot mine is of upstream, not k3s"):
        starting.start(made, "k3s", snapshot=snapshot)


def test_a_lab_of_that_name_is_not_overwritten(engine: SnapshotEngine) -> None:
    save(engine)
    engine.calls.clear()
    with pytest.raises(InputError, match="there is a lab 1m1w already") as caught:
        start_from(engine)
    assert "--name OTHER" in caught.value.hint
    assert engine.calls == []


def test_a_second_lab_on_the_same_subnet_is_told_of_a_free_one(engine: SnapshotEngine) -> None:
    save(engine)
    engine.calls.clear()
    with pytest.raises(InputError, match=r"172.30.1.0/24 .Docker network halab-1m1w.") as caught:
        start_from(engine, name="two")
    assert "--set network.subnet=" in caught.value.hint
    assert engine.calls == []


def test_a_subnet_that_masters_must_keep_is_to_be_freed(topology: Any) -> None:
    engine = SnapshotEngine()
    starting.start(lab(engine, topology), "k3s")
    snapshot_save.save(find(engine, "3m3w"), "big")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Docker network halab-3m3w") as caught:
        start_from(engine, "big", name="two")
    assert "`halab destroy` the lab that has it" in caught.value.hint
    assert "--set" not in caught.value.hint


def test_a_lone_master_of_upstream_moves_to_another_subnet(engine: SnapshotEngine) -> None:
    save(engine)
    made = start_from(engine, name="two", subnet=SUBNET).topology
    assert [str(node.ip) for node in made.nodes] == ["172.30.7.49", "172.30.7.41"]
    assert str(made.network.vip) == "172.30.7.50"
    assert made.network.management != SMALL.network.management
    assert runs(engine, "two") == runs(engine) == ALL
    assert content(engine, "two", "m", ETCD) == b"a ConfigMap"
    assert b"172.30.7.49" in content(engine, "two", "m", "/etc/systemd/system/etcd.service")


def test_addresses_that_a_datastore_knows_cannot_change(
    engine: SnapshotEngine, topology: Any
) -> None:
    save(engine)
    snapshot = snapshots.find(engine, "mine")  # type: ignore[arg-type]
    assert snapshot.record is not None
    k3s = replace(snapshot, record=replace(snapshot.record, distribution="k3s"))
    with pytest.raises(InputError, match="k3s refuses a master whose address has changed"):
        snapshot_restore.topology(k3s, "two", SUBNET)
    big = replace(snapshot, record=replace(snapshot.record, topology=to_json(topology)))
    with pytest.raises(InputError, match="etcd knows its members by their addresses") as caught:
        snapshot_restore.topology(big, "two", SUBNET)
    assert "halab destroy" in caught.value.hint
    same = snapshot_restore.topology(big, "two", topology.network.subnet)
    assert (same.name, same.nodes) == ("two", topology.nodes)


@pytest.mark.parametrize(
    ("subnet", "message"),
    [
        ("172.30.7.0/28", "has no room for 172.30.1.50"),
        ("10.42.0.0/24", "meets the cluster's pod_cidr"),
        ("10.43.1.0/24", "meets the cluster's service_cidr"),
    ],
)
def test_a_subnet_that_does_not_fit_is_refused(
    engine: SnapshotEngine, subnet: str, message: str
) -> None:
    save(engine)
    snapshot = snapshots.find(engine, "mine")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        snapshot_restore.topology(snapshot, "two", IPv4Network(subnet))


def test_upstream_says_that_its_master_moves() -> None:
    assert UPSTREAM.master_moves


def test_an_error_of_the_engine_is_told_after_the_lab_runs_again(engine: SnapshotEngine) -> None:
    def refuse(*_: Any) -> None:
        raise EngineError("making image: no space left on device")

    engine.commit = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(LabError, match="no space left"):
        save(engine)
    assert runs(engine) == ALL
