"""Who boots when, and masters that come back without their disks."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from fake_engine import FakeEngine

from lab.base.errors import LabError, WaitTimeout
from lab.base.progress import Silent
from lab.engine.commands import Result
from lab.engine.files import File
from lab.engine.labels import LABEL_NODE
from lab.engine.spec import Observed, ObservedContainer
from lab.kube.pki import new_secrets
from lab.lifecycle import boot as boot_module
from lab.lifecycle import desired_state, plan, rejoin
from lab.lifecycle.apply import Applier
from lab.lifecycle.boot import Boot
from lab.lifecycle.plan import Action, Plan, PlanStep
from lab.nodes import distributions, etcd
from lab.nodes.distributions.k3s import NODE_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.engine.spec import Desired
    from lab.topology.model import Topology

TAGS = {name: f"halab/{name}:1" for name in ("upstream", "k3s", "loadbalancer", "bmc")}
DATASTORES = [distributions.find(name).datastore for name in ("k3s", "upstream")]
MASTERS = {"m": "172.30.0.49", "m2": "172.30.0.48", "m3": "172.30.0.47"}
SECRETS = new_secrets("test")


@dataclass
class EtcdEngine(FakeEngine):
    """An engine whose masters have one cluster of etcd among them."""

    members: dict[str, str] = field(default_factory=dict)
    """Of the cluster: id → name of the node."""
    quorum: bool = True

    @property
    def log(self) -> list[str]:
        return [call.replace("halab-3m3w-", "") for call in self.calls]

    def hold(self, *masters: str, running: bool = False) -> None:
        """Give masters data of etcd, and let them run, or not."""
        for name in masters:
            container = f"halab-3m3w-{name}"
            self.put(container, [File(path=f"{path}/0.wal") for path in DATASTORES])
            self.containers[container].state = "running" if running else "exited"
        self.calls.clear()

    def files(self, name: str) -> dict[str, File]:
        return self.containers[f"halab-3m3w-{name}"].files

    def run(self, container: str, argv: Sequence[str], **more: Any) -> Result:
        super().run(container, argv, **more)
        name, url = container.removeprefix("halab-3m3w-"), argv[-1]
        body = json.loads(argv[argv.index("-d") + 1])
        if not self.quorum:
            return Result(0, json.dumps({"error": "etcdserver: no leader", "code": 14}))
        if url.endswith("member/remove"):
            self._call("etcd-remove", self.members.pop(body["ID"]))
        elif url.endswith("member/add"):
            self._call("etcd-add", body["peerURLs"][0])
        elif url.endswith("maintenance/status"):
            learner = not self.has(container, DATASTORES[0])
            return Result(0, json.dumps({"leader": "7", "isLearner": learner, "name": name}))
        rows = [
            {"ID": key, "name": name, "peerURLs": [f"https://{MASTERS[name]}:2380"]}
            for key, name in self.members.items()
        ]
        return Result(0, json.dumps({"members": rows}))


def wanted(topology: Topology, distribution: str) -> Desired:
    return desired_state.desired(topology, distributions.find(distribution), TAGS, 6443)


@pytest.fixture
def engine(topology: Topology) -> EtcdEngine:
    engine = EtcdEngine()
    engine.add_lab(wanted(topology, "k3s"), "exited")
    return engine


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejoin, "QUORUM_S", 0)
    monkeypatch.setattr(rejoin, "ADMIT_S", 0)


def booting(topology: Topology, engine: EtcdEngine, name: str = "k3s") -> Boot:
    applier = Applier(engine, Silent(), "run")  # type: ignore[arg-type]
    nothing = Observed(lab=topology.name)
    return Boot(engine, topology, distributions.find(name), applier, nothing)  # type: ignore[arg-type]


def boot(
    topology: Topology,
    engine: EtcdEngine,
    monkeypatch: pytest.MonkeyPatch,
    name: str = "k3s",
    *,
    first: Sequence[str] = (),
    again: Sequence[str] = (),
    made: Sequence[str] | None = None,
) -> list[str]:
    """Boot by such a plan; gives the names in the order of their starts, `-` where was waited."""
    monkeypatch.setattr(
        boot_module,
        "await_admitting",
        lambda _, nodes, *__: engine._call("-", " ".join(node.name for node in nodes)),
    )
    kinds = {Action.CREATE: first if made is None else made, Action.BOOT: first}
    kinds[Action.START] = again
    steps = [
        PlanStep(action=kind, subject=node, reason="")
        for kind, names in kinds.items()
        for node in names
    ]
    booting(topology, engine, name).boot(Plan(tuple(steps)), wanted(topology, name), SECRETS)
    return [row.removeprefix("start ") for row in engine.log if row.startswith(("start", "-"))]


def test_boot_waits_with_the_others_until_the_first_k3s_master_lets_them_join(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = [node.name for node in topology.containers]
    order = boot(topology, engine, monkeypatch, first=everybody)
    assert order[3] == "- m"
    assert set(order[:3]) == {"m", "lb", "bmc"}
    assert set(order[4:]) == {"m2", "m3", "w1", "w2", "w3"}


def test_boot_starts_all_at_once_when_the_distribution_is_upstream(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = [node.name for node in topology.containers]
    order = boot(topology, engine, monkeypatch, "upstream", first=everybody)
    assert set(order) == set(everybody)


def test_boot_starts_what_was_stopped_first_when_one_container_is_missing(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three members one alone has no quorum: all that ran before start before anything."""
    engine.hold(*MASTERS)
    again = [node.name for node in topology.containers if node.name != "w3"]
    order = boot(topology, engine, monkeypatch, first=["w3"], again=again)
    assert sorted(order[:-1]) == sorted(again)
    assert order[-1] == "w3"


def test_boot_connects_a_node_to_its_networks_before_its_first_start(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was made and never connected would boot without its management network."""
    boot(topology, engine, monkeypatch, first=["w3"], made=[])
    assert engine.log == ["connect w3", "put w3", "start w3"]


def test_boot_tells_the_first_master_where_the_others_are_at_every_start(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.hold(*MASTERS, running=True)
    boot(topology, engine, monkeypatch)
    file = engine.files("m")[NODE_FILE]
    assert b'server: "https://172.30.0.50:6443"' in file.content
    assert b"cluster-init" in file.content


def test_boot_does_not_tell_the_first_master_when_it_has_no_data_yet(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `server` its first boot would be a join, and there is nobody to join."""
    boot(topology, engine, monkeypatch, first=["m"])
    assert b"server:" not in engine.files("m")[NODE_FILE].content


# --- masters that lost their disks ---


@pytest.mark.parametrize("lost", ["m", "m2"])
def test_boot_lets_a_k3s_master_join_the_others_when_it_lost_its_disk(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    engine.members = {"1": "m", "2": "m2", "3": "m3"}
    engine.hold(*set(MASTERS) - {lost}, running=True)
    order = boot(topology, engine, monkeypatch, first=[lost])
    assert order == [lost]
    assert [row for row in engine.log if "etcd" in row] == [f"etcd-remove {lost}"]
    assert engine.log.index(f"etcd-remove {lost}") < engine.log.index(f"start {lost}")
    keeper = MASTERS["m2" if lost == "m" else "m"]
    content = engine.files(lost)[NODE_FILE].content
    assert f'server: "https://{keeper}:6443"'.encode() in content
    assert b"cluster-init" not in content


def test_boot_makes_an_upstream_master_a_new_member_when_it_lost_its_disk(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.members = {"1": "m", "2": "m2", "3": "m3"}
    engine.hold("m", "m3")
    boot(topology, engine, monkeypatch, "upstream", first=["m2"], again=["m", "m3"])
    changes = [row for row in engine.log if "etcd" in row]
    assert changes == ["etcd-remove m2", f"etcd-add https://{MASTERS['m2']}:2380"]
    unit = engine.files("m2")["/etc/systemd/system/etcd.service"].content
    assert b"--initial-cluster-state=existing" in unit


def test_boot_leaves_a_member_alone_when_its_disk_was_kept(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the container was removed: the member is as it was."""
    engine.members = {"1": "m", "2": "m2", "3": "m3"}
    engine.hold(*MASTERS, running=True)
    boot(topology, engine, monkeypatch, first=["m2"])
    assert not [row for row in engine.log if "etcd" in row]


@pytest.mark.parametrize("alone", ["w3", "m2"])
def test_boot_starts_a_node_when_another_master_has_no_container(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch, alone: str
) -> None:
    """`start LAB NODE` makes that node alone."""
    engine.members = {"1": "m", "2": "m2", "3": "m3"}
    engine.hold("m3", running=True)
    del engine.containers["halab-3m3w-m"]
    assert boot(topology, engine, monkeypatch, first=[alone]) == [alone]


@pytest.mark.parametrize("name", ["k3s", "upstream"])
@pytest.mark.parametrize("running", [True, False])
def test_boot_is_refused_when_a_disk_is_lost_and_there_is_no_quorum(
    topology: Topology,
    engine: EtcdEngine,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    running: bool,  # noqa: FBT001
) -> None:
    engine.hold("m3", running=running)
    engine.quorum = False
    with pytest.raises(LabError, match=r"m, m2 of lab 3m3w lost the disk.*no quorum") as caught:
        boot(topology, engine, monkeypatch, name, first=["m", "m2"])
    assert "halab destroy 3m3w" in caught.value.hint
    assert not [row for row in engine.log if row.startswith("start")]


def test_boot_goes_on_when_a_first_start_was_interrupted(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The containers of m2 and m3 were made by that start; upstream's m alone has no quorum."""
    engine.hold("m")
    engine.quorum = False
    order = boot(
        topology, engine, monkeypatch, "upstream", first=["m2", "m3"], again=["m"], made=[]
    )
    assert set(order) == set(MASTERS)
    unit = engine.files("m2")["/etc/systemd/system/etcd.service"].content
    assert b"--initial-cluster-state=new" in unit


def test_rejoin_goes_on_when_etcd_did_already_what_it_is_asked(
    topology: Topology, engine: EtcdEngine
) -> None:
    """Its answer to the first request may have been lost."""
    hand = rejoin.Rejoin(distributions.find("k3s"), (), Silent(), threading.Event())
    node = booting(topology, engine).handle("m")

    def refuse() -> None:
        raise LabError("the etcd of m says: etcdserver: member not found")

    hand._patiently(node, "leaves etcd", refuse, already="member not found")
    with pytest.raises(WaitTimeout, match="m, whose disk is lost, leaves etcd"):
        hand._patiently(node, "leaves etcd", refuse, already="other")


# --- etcd's words ---


@pytest.mark.parametrize(
    ("status", "ok", "seen"),
    [
        ({"leader": "8", "version": "3.6.14"}, True, "a voter"),
        ({"leader": "8", "isLearner": True}, False, "learner of etcd, waits for its promotion"),
        ({"version": "3.6.14"}, False, "no leader"),
    ],
)
def test_voter_reads_what_the_masters_own_etcd_says(
    topology: Topology,
    engine: EtcdEngine,
    monkeypatch: pytest.MonkeyPatch,
    status: dict[str, Any],
    ok: bool,  # noqa: FBT001
    seen: str,
) -> None:
    monkeypatch.setattr(engine, "run", lambda *_, **__: Result(0, json.dumps(status)))
    found = etcd.voter(booting(topology, engine).handle("m"), distributions.find("k3s").etcd_client)
    assert found[0] is ok
    assert seen in found[1]


@pytest.mark.parametrize("output", ["", "<html>", '{"code":14,"message":"no"}'])
def test_voter_raises_when_etcd_gives_no_answer(
    topology: Topology, engine: EtcdEngine, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setattr(engine, "run", lambda *_, **__: Result(0 if output else 7, output))
    with pytest.raises(LabError, match="the etcd of m"):
        etcd.voter(booting(topology, engine).handle("m"), distributions.find("k3s").etcd_client)


# --- one node alone ---


def test_only_keeps_the_volumes_of_a_node_when_it_is_started_alone(topology: Topology) -> None:
    """Made with the container they would bear none, and no `destroy` would remove them."""
    goal = wanted(topology, "k3s")
    spec = next(spec for spec in goal.containers if spec.labels[LABEL_NODE] == "w3")
    others = tuple(
        ObservedContainer(id=one.name, name=one.name, state="running", labels=one.labels)
        for one in goal.containers
        if one != spec
    )
    kept = tuple(name for name in goal.volumes if name not in spec.volumes)
    networks = tuple(net.name for net in goal.networks)
    seen = Observed(lab=goal.lab, networks=networks, volumes=kept, containers=others)
    steps = plan.only(plan.start(goal, seen), goal, "w3")
    assert set(steps.subjects(Action.CREATE_VOLUME)) == set(spec.volumes)
    assert steps.subjects(Action.CREATE, Action.BOOT) == ("w3", "w3")
    assert plan.only(plan.start(goal, seen), goal, "w1").empty
