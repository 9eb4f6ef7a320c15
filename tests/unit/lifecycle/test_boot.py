"""Who boots when, and masters that come back without their disks."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from lab.base.errors import EngineError, LabError, WaitTimeout
from lab.base.progress import Silent
from lab.base.wait import Observation
from lab.engine.commands import Result
from lab.engine.labels import LABEL_NODE
from lab.engine.spec import Observed, ObservedContainer
from lab.kube.pki import new_secrets
from lab.lifecycle import boot as boot_module
from lab.lifecycle import desired_state, plan, readiness, rejoin
from lab.lifecycle.apply import Applier
from lab.lifecycle.boot import Boot
from lab.lifecycle.plan import Action, Plan, Step
from lab.live.access import Access, Credentials
from lab.live.lab import Lab
from lab.nodes import distributions, etcd
from lab.nodes.distributions.k3s import NODE_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.engine.files import File
    from lab.engine.spec import ContainerSpec, Desired
    from lab.topology.model import Topology

TAGS = {name: f"halab/{name}:1" for name in ("upstream", "k3s", "loadbalancer", "bmc")}
MASTERS = {"m": "172.30.0.49", "m2": "172.30.0.48", "m3": "172.30.0.47"}
SECRETS = new_secrets("test")


@dataclass
class DoubleEngine:
    """A double of the engine: machines, their disks, and one cluster of etcd among them."""

    lab: str = "3m3w"
    running: set[str] = field(default_factory=set)
    data: set[str] = field(default_factory=set)
    """Masters whose etcd has data."""
    members: dict[str, str] = field(default_factory=dict)
    """Of the cluster: id → name of the node."""
    quorum: bool = True
    missing: set[str] = field(default_factory=set)
    """Whose container is not there."""
    log: list[str] = field(default_factory=list)
    files: dict[str, dict[str, File]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def name(self, container: str) -> str:
        return container.removeprefix(f"halab-{self.lab}-")

    def note(self, what: str) -> None:
        with self.lock:
            self.log.append(what)

    def start(self, container: str) -> None:
        self.running.add(self.name(container))
        self.note(f"start {self.name(container)}")

    def connect(self, spec: ContainerSpec) -> None:
        self.note(f"connect {self.name(spec.name)}")

    def put(self, container: str, files: Iterable[File]) -> None:
        name = self.name(container)
        self.files.setdefault(name, {}).update({file.path: file for file in files})
        self.note(f"files {name}")

    def owner(self, container: str) -> str | None:
        return None if self.name(container) in self.missing else self.lab

    def has(self, container: str, path: str) -> bool:
        assert path.endswith("/member/wal")
        if self.name(container) in self.missing:
            raise EngineError("No such container")
        return self.name(container) in self.data

    def inspect(self, container: str) -> dict[str, Any]:
        up = self.name(container) in self.running
        return {"State": {"Status": "running" if up else "exited", "Running": up, "Paused": False}}

    def run(self, container: str, argv: Sequence[str], **_: object) -> Result:
        name, url = self.name(container), argv[-1]
        body = json.loads(argv[argv.index("-d") + 1])
        if not self.quorum:
            return Result(0, json.dumps({"error": "etcdserver: no leader", "code": 14}))
        if url.endswith("member/remove"):
            self.note(f"remove {self.members.pop(body['ID'])}")
        elif url.endswith("member/add"):
            self.note(f"add {body['peerURLs'][0]}")
        elif url.endswith("maintenance/status"):
            return Result(0, json.dumps({"leader": "7", "isLearner": name not in self.data}))
        rows = [
            {"ID": key, "name": name, "peerURLs": [f"https://{MASTERS[name]}:2380"]}
            for key, name in self.members.items()
        ]
        return Result(0, json.dumps({"members": rows}))


def wanted(topology: Topology, distribution: str) -> Desired:
    return desired_state.desired(topology, distributions.find(distribution), TAGS, 6443)


@pytest.fixture
def engine() -> DoubleEngine:
    return DoubleEngine()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejoin, "QUORUM_S", 0)
    monkeypatch.setattr(rejoin, "ADMIT_S", 0)


def booting(topology: Topology, engine: DoubleEngine, name: str = "k3s") -> Boot:
    applier = Applier(engine, Silent(), "run")  # type: ignore[arg-type]
    nothing = Observed(lab=topology.name)
    return Boot(engine, topology, distributions.find(name), applier, nothing)  # type: ignore[arg-type]


def boot(
    topology: Topology,
    engine: DoubleEngine,
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
        lambda _, nodes, *__: engine.note(f"- {' '.join(node.name for node in nodes)}"),
    )
    kinds = {Action.CREATE: first if made is None else made, Action.BOOT: first}
    kinds[Action.START] = again
    steps = [
        Step(action=kind, subject=node, reason="")
        for kind, names in kinds.items()
        for node in names
    ]
    booting(topology, engine, name).boot(Plan(tuple(steps)), wanted(topology, name), SECRETS)
    return [row.removeprefix("start ") for row in engine.log if row.startswith(("start", "-"))]


def test_all_others_boot_when_the_first_master_lets_them_join(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = [node.name for node in topology.containers]
    order = boot(topology, engine, monkeypatch, first=everybody)
    assert order[3] == "- m"
    assert set(order[:3]) == {"m", "lb", "bmc"}
    assert set(order[4:]) == {"m2", "m3", "w1", "w2", "w3"}


def test_upstream_boots_at_once(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = [node.name for node in topology.containers]
    order = boot(topology, engine, monkeypatch, "upstream", first=everybody)
    assert set(order) == set(everybody)


def test_a_stopped_lab_with_one_container_missing_does_not_wait_for_itself(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three members one alone has no quorum: all that ran before start before anything."""
    engine.data = set(MASTERS)
    again = [node.name for node in topology.containers if node.name != "w3"]
    order = boot(topology, engine, monkeypatch, first=["w3"], again=again)
    assert sorted(order[:-1]) == sorted(again)
    assert order[-1] == "w3"


def test_a_node_gets_its_networks_before_its_first_boot(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was made and never connected would boot without its management network."""
    boot(topology, engine, monkeypatch, first=["w3"], made=[])
    assert engine.log == ["connect w3", "files w3", "start w3"]


def test_the_first_master_learns_where_others_are_at_every_start(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.running = engine.data = set(MASTERS)
    boot(topology, engine, monkeypatch)
    file = engine.files["m"][NODE_FILE]
    assert b'server: "https://172.30.0.50:6443"' in file.content
    assert b"cluster-init" in file.content


def test_but_not_before_it_has_data(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `server` its first boot would be a join, and there is nobody to join."""
    boot(topology, engine, monkeypatch, first=["m"])
    assert b"server:" not in engine.files["m"][NODE_FILE].content


# --- masters that lost their disks ---


@pytest.mark.parametrize("lost", ["m", "m2"])
def test_a_k3s_master_without_its_disk_joins_the_others(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    engine.members = {"1": "m", "2": "m2", "3": "m3"}
    engine.data = set(MASTERS) - {lost}
    engine.running = set(engine.data)
    order = boot(topology, engine, monkeypatch, first=[lost])
    assert order == [lost]
    assert [row for row in engine.log if "remove" in row or "add" in row] == [f"remove {lost}"]
    assert engine.log.index(f"remove {lost}") < engine.log.index(f"start {lost}")
    keeper = MASTERS["m2" if lost == "m" else "m"]
    content = engine.files[lost][NODE_FILE].content
    assert f'server: "https://{keeper}:6443"'.encode() in content
    assert b"cluster-init" not in content


def test_an_upstream_master_without_its_disk_is_a_new_member(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.members = {"1": "m", "2": "m2", "3": "m3"}
    engine.data = {"m", "m3"}
    boot(topology, engine, monkeypatch, "upstream", first=["m2"], again=["m", "m3"])
    changes = [row for row in engine.log if "remove" in row or "add" in row]
    assert changes == ["remove m2", f"add https://{MASTERS['m2']}:2380"]
    unit = engine.files["m2"]["/etc/systemd/system/etcd.service"].content
    assert b"--initial-cluster-state=existing" in unit


def test_a_disk_that_was_kept_is_left_alone(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the container was removed: the member is as it was."""
    engine.members = {"1": "m", "2": "m2", "3": "m3"}
    engine.running = engine.data = set(MASTERS)
    boot(topology, engine, monkeypatch, first=["m2"])
    assert not [row for row in engine.log if "remove" in row]


@pytest.mark.parametrize("alone", ["w3", "m2"])
def test_another_master_may_have_no_container(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch, alone: str
) -> None:
    """`start LAB NODE` makes that node alone."""
    engine.members = {"1": "m", "2": "m2", "3": "m3"}
    engine.data = engine.running = {"m3"}
    engine.missing = {"m"}
    assert boot(topology, engine, monkeypatch, first=[alone]) == [alone]


@pytest.mark.parametrize("name", ["k3s", "upstream"])
@pytest.mark.parametrize("running", [True, False])
def test_without_a_quorum_a_lost_disk_is_refused(
    topology: Topology,
    engine: DoubleEngine,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    running: bool,  # noqa: FBT001
) -> None:
    engine.data, engine.quorum = {"m3"}, False
    engine.running = {"m3"} if running else set()
    with pytest.raises(LabError, match=r"m, m2 of lab 3m3w lost the disk.*no quorum") as caught:
        boot(topology, engine, monkeypatch, name, first=["m", "m2"])
    assert "halab destroy 3m3w" in caught.value.hint
    assert not [row for row in engine.log if row.startswith("start")]


def test_a_first_start_that_was_interrupted_goes_on(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The containers of m2 and m3 were made by that start; upstream's m alone has no quorum."""
    engine.data, engine.quorum = {"m"}, False
    order = boot(
        topology, engine, monkeypatch, "upstream", first=["m2", "m3"], again=["m"], made=[]
    )
    assert set(order) == set(MASTERS)
    unit = engine.files["m2"]["/etc/systemd/system/etcd.service"].content
    assert b"--initial-cluster-state=new" in unit


def test_what_etcd_did_already_is_done(topology: Topology, engine: DoubleEngine) -> None:
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
def test_a_voter_is_told_by_its_own_etcd(
    topology: Topology,
    engine: DoubleEngine,
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
def test_no_answer_of_etcd_is_an_error_of_ours(
    topology: Topology, engine: DoubleEngine, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setattr(engine, "run", lambda *_, **__: Result(0 if output else 7, output))
    with pytest.raises(LabError, match="the etcd of m"):
        etcd.voter(booting(topology, engine).handle("m"), distributions.find("k3s").etcd_client)


# --- waiting for the founder ---


@dataclass
class Founder:
    """A double of the first master: shot once while it is awaited."""

    name: str = "m"
    lab: str = "3m3w"
    container: str = "halab-3m3w-m"
    on: bool = True
    asked: int = 0
    started: int = 0

    @property
    def engine(self) -> Founder:
        return self

    def inspect(self, _: str) -> dict[str, Any]:
        return {"State": {"Status": "running" if self.on else "exited"}}

    def start(self, _: str) -> None:
        self.on, self.started = True, self.started + 1

    def journal(self) -> str:
        raise EngineError("container is not running")


class DoubleDistribution:
    """A double whose founder is shot at the first question, and answers at the third."""

    never = False

    def admits(self, node: Founder) -> Observation:
        node.asked += 1
        if node.asked == 1 or self.never:
            node.on = False
            raise EngineError("container is not running")
        return Observation(ok=node.asked > 2, detail="starts")


def test_a_founder_that_is_shot_meanwhile_is_awaited_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Event, "wait", lambda *_: False)
    node = Founder()
    readiness.await_admitting(DoubleDistribution(), [node], Silent(), threading.Event())  # type: ignore[arg-type, list-item]
    assert (node.started, node.asked) == (1, 3)


def test_and_its_time_out_is_told_though_its_journal_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "ADMIT_TIMEOUT_S", 0)
    double = DoubleDistribution()
    double.never = True
    with pytest.raises(WaitTimeout, match="m lets others join its cluster") as caught:
        readiness.await_admitting(double, [Founder()], Silent(), threading.Event())  # type: ignore[arg-type, list-item]
    assert "journal of m cannot be read" in caught.value.hint


class NoNodes:
    """A double of a cluster in which nobody is registered yet."""

    def nodes(self) -> dict[str, dict[str, Any]]:
        return {}


@pytest.mark.parametrize(
    ("name", "booted", "seen"),
    [
        ("m2", ("m2",), "learner of etcd, waits for its promotion"),
        ("m2", (), "not registered yet"),  # what runs already is not asked: a fault may be on
        ("m", ("m",), "not registered yet"),
        ("w1", ("w1",), "not registered yet"),
    ],
)
def test_who_is_no_voter_yet_is_told(
    topology: Topology, engine: DoubleEngine, name: str, booted: tuple[str, ...], seen: str
) -> None:
    """K3s's master is no Node before its promotion, and would say nothing for up to 15 s."""
    engine.running, engine.data = {"m", "m2", "w1"}, {"m"}
    k3s = distributions.find("k3s")
    access = Access(k3s, Credentials.of_secrets(k3s, SECRETS), 6443)
    lab = Lab(engine, topology)  # type: ignore[arg-type]
    hand = readiness.Readiness(lab, access, NoNodes(), booted=booted)  # type: ignore[arg-type]
    observation = hand._node(topology.node(name))
    assert observation == Observation(ok=False, detail=seen)


# --- one node alone ---


def test_a_start_of_one_node_makes_its_volumes_with_their_labels(topology: Topology) -> None:
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
