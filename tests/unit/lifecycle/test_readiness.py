"""When a lab is ready: each question's answers, what is mended, and what a time-out says."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_cluster import FakeCluster, node_item
from fake_engine import FakeEngine

from lab.base.errors import EngineError, WaitTimeout
from lab.base.progress import Silent
from lab.base.wait import Observation
from lab.engine.commands import Result
from lab.lifecycle import desired_state, readiness
from lab.lifecycle.readiness import Readiness
from lab.live.lab import Lab
from lab.nodes import distributions
from lab.nodes.handles import handle

if TYPE_CHECKING:
    from lab.topology.model import Topology

TAGS = {name: f"halab/{name}:1" for name in ("upstream", "k3s", "loadbalancer", "bmc")}
BOOTED_AT = 1_800_000_000.0
BEFORE = "2027-01-15T07:59:59Z"
"""The second before; nodes of the double have reported in the one after."""
MEMBERS = "".join(
    f'<node name="{name}" online="true" pending="false" unclean="false"/>'
    for name in ("m", "m2", "m3")
)
CRM_MON = (
    '<pacemaker-result><summary><current_dc with_quorum="true"/></summary>'
    f"<nodes>{MEMBERS}</nodes></pacemaker-result>"
)
LABELS = {
    "master": {
        "node-role.kubernetes.io/control-plane": "true",
        "node-role.kubernetes.io/etcd": "true",
    },
    "worker": {"node-role.kubernetes.io/worker": "true"},
}


@dataclass
class Heard:
    """A reporter that keeps the last word of each subject, and who is finished."""

    words: dict[str, str] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)

    def say(self, subject: str, text: str) -> None:
        self.words[subject] = text

    def done(self, subject: str, text: str) -> None:
        self.words[subject] = text
        self.finished.add(subject)


@dataclass
class Bench:
    """A lab whose machines run, whose nodes are Ready, and in which all answers."""

    topology: Topology
    engine: FakeEngine
    cluster: FakeCluster
    heard: Heard = field(default_factory=Heard)
    distribution: str = "upstream"

    def readiness(self, **more: Any) -> Readiness:
        lab = Lab(self.engine, self.topology, self.heard)  # type: ignore[arg-type]
        access = SimpleNamespace(distribution=distributions.find(self.distribution))
        return Readiness(lab, access, self.cluster, since=BOOTED_AT, **more)  # type: ignore[arg-type]

    def missing(self, **more: Any) -> dict[str, str]:
        """Ask once; return what is not ready yet, with the answer."""
        with contextlib.suppress(WaitTimeout):
            self.readiness(**more).wait(0)
        words, finished = self.heard.words, self.heard.finished
        return {name: word for name, word in words.items() if name not in finished}


@pytest.fixture
def bench(topology: Topology) -> Bench:
    topology = replace(topology, addons=())
    engine = FakeEngine()
    engine.add_lab(desired_state.desired(topology, distributions.find("upstream"), TAGS, 6443))
    engine.answers = {
        "curl": Result(0, "200"),
        "ipmitool": Result(0, "Chassis Power is on\n"),
        "crm_mon": Result(0, CRM_MON),
        "journalctl": Result(0, "kubelet: no network\n"),
    }
    items = {node.name: node_item(LABELS[node.role.value]) for node in topology.nodes}
    return Bench(topology, engine, FakeCluster(items))


# --- the answers ---


@pytest.mark.parametrize("booted", [(), ("m", "m2", "m3", "w1", "w2", "w3")])
def test_wait_returns_when_all_answers(bench: Bench, booted: tuple[str, ...]) -> None:
    bench.readiness(booted=booted).wait(0)
    nodes = {node.name for node in bench.topology.nodes}
    assert bench.heard.finished == {"API", "VIP", "BMC", *nodes}
    assert bench.heard.words["API"] == f"answers through the load balancer ({bench.cluster.server})"
    assert bench.heard.words["BMC"] == "answers by IPMI for 6 machines"
    assert bench.heard.words["VIP"] == f"{bench.topology.network.vip} answers"
    assert bench.heard.words["w1"] == "Ready"
    assert bench.engine.calls == []


@pytest.mark.parametrize(
    ("place", "booted", "seen"),
    [
        ("here", ("m", "m2", "m3"), [BOOTED_AT]),
        ("here", ("m",), []),
        ("far", ("m", "m2", "m3"), []),
    ],
)
def test_stale_leases_go_if_all_masters_were_off_and_clocks_are_one(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    booted: tuple[str, ...],
    seen: list[float],
) -> None:
    since: list[float] = []
    monkeypatch.setattr(readiness.leader_leases, "remove_stale", lambda _, at: since.append(at))
    bench.engine.local = place == "here"
    bench.readiness(booted=booted).wait(0)
    assert since == seen


def test_wait_asks_for_nothing_else_when_the_api_is_not_ready(bench: Bench) -> None:
    bench.cluster.ready = False
    assert bench.missing() == {"API": "no API server is ready behind the load balancer yet"}
    assert bench.cluster.applied == []


def test_wait_takes_401_for_an_answer_of_the_vip(bench: Bench) -> None:
    """K3s lets nobody ask without a certificate."""
    bench.engine.answers["curl"] = Result(0, "401")
    assert bench.missing() == {}


def test_wait_names_the_vip_when_it_does_not_answer(bench: Bench) -> None:
    bench.engine.answers["curl"] = Result(28, "000")
    assert bench.missing() == {"VIP": f"{bench.topology.network.vip} does not answer yet"}


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Result(1, "Error: Unable to establish IPMI v2"), "Error: Unable to establish IPMI v2"),
        (Result(0, "Chassis Power is off"), "Chassis Power is off"),
        (Result(1, ""), "no answer"),
    ],
)
def test_wait_names_the_controllers_when_they_do_not_say_on(
    bench: Bench, answer: Result, word: str
) -> None:
    bench.engine.answers["ipmitool"] = answer
    assert bench.missing() == {"BMC": word}


def test_wait_names_a_machine_when_it_does_not_run(bench: Bench) -> None:
    bench.engine.containers["halab-3m3w-lb"].state = "exited"
    (word,) = [bench.missing()["VIP"]]
    assert "is not running" in word


def test_wait_names_a_node_when_it_is_not_registered(bench: Bench) -> None:
    del bench.cluster.items["w2"]
    assert bench.missing() == {"w2": "not registered yet"}


def test_wait_says_the_cause_when_a_node_is_not_ready(bench: Bench) -> None:
    message = "container runtime network not ready: NetworkReady=false reason:NetworkPlugin"
    bench.cluster.items["w2"] = node_item(LABELS["worker"], "False", message=message)
    assert bench.missing() == {"w2": "waits for the pod network"}


def test_wait_does_not_believe_what_is_from_before_the_boot(bench: Bench) -> None:
    bench.cluster.items["w2"] = node_item(LABELS["worker"], heartbeat=BEFORE)
    assert bench.missing() == {}
    bench.heard.finished.clear()
    word = "its kubelet has not reported since the machine was powered on"
    assert bench.missing(booted=("w2",))["w2"] == word


def test_wait_names_a_booted_master_when_pacemaker_does_not_count_it(bench: Bench) -> None:
    bench.engine.answers["crm_mon"] = Result(0, CRM_MON.replace('name="m2"', 'name="other"'))
    assert bench.missing() == {}  # what runs already is not waited for: a fault may be on
    bench.heard.finished.clear()
    word = "is no member of Pacemaker's cluster yet"
    assert bench.missing(booted=("m", "m2"))["m2"] == word


@pytest.mark.parametrize(
    ("booted", "status", "word"),
    [
        (("m2",), {"isLearner": True}, "learner of etcd, waits for its promotion"),
        (("m2",), {}, "its etcd has no leader yet"),
        (("m2",), {"leader": "7"}, "not registered yet"),
        ((), {"isLearner": True}, "not registered yet"),
    ],
)
def test_wait_says_what_etcd_says_when_a_k3s_master_is_no_node_yet(
    bench: Bench, booted: tuple[str, ...], status: dict[str, Any], word: str
) -> None:
    """It registers after its promotion, and would say nothing for up to 15 s."""
    bench.distribution = "k3s"
    del bench.cluster.items["m2"]
    bench.engine.answers = {
        "maintenance/status": Result(0, json.dumps(status)),
        **bench.engine.answers,
    }
    assert bench.missing(booted=booted)["m2"] == word


def test_wait_says_why_when_nodes_cannot_be_asked_for(bench: Bench) -> None:
    bench.cluster.silence = "the API does not answer: refused"
    assert bench.missing() == dict.fromkeys(bench.cluster.items, "the API does not answer: refused")


@pytest.mark.parametrize("ok", [True, False])
def test_wait_asks_core_add_ons(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    ok: bool,  # noqa: FBT001
) -> None:
    bench.topology = replace(bench.topology, addons=("dns-ha", "later"))
    addons = {
        "dns-ha": SimpleNamespace(
            core=True, manifests=lambda _: [], ready=lambda _: Observation(ok=ok, detail="3 of 3")
        ),
        "later": SimpleNamespace(core=False),
    }
    monkeypatch.setattr(readiness.catalog, "find", addons.__getitem__)
    assert bench.missing() == ({} if ok else {"dns-ha": "3 of 3"})


def test_wait_asks_for_the_api_and_the_named_nodes_when_only_they_are_wanted(bench: Bench) -> None:
    bench.engine.answers["ipmitool"] = Result(1, "")
    bench.readiness(only=("w1",)).wait(0)
    assert bench.heard.finished == {"API", "w1"}


# --- what is done meanwhile ---


def test_wait_applies_what_the_cluster_is_made_of_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "EVERY_S", 0.001)
    del bench.cluster.items["w2"]
    with pytest.raises(WaitTimeout):
        bench.readiness().wait(0.1)
    wanted = distributions.find("upstream").manifests(bench.topology)
    assert bench.cluster.applied == list(wanted)


def test_wait_labels_a_node_when_its_role_is_not_on_it(bench: Bench) -> None:
    for name in ("m", "w1"):
        bench.cluster.items[name]["metadata"]["labels"] = {"mine": "1"}
    bench.readiness().wait(0)
    assert bench.cluster.labelled == {"m": LABELS["master"], "w1": LABELS["worker"]}


def test_wait_powers_a_master_on_again_when_it_was_shot_after_it_booted(bench: Bench) -> None:
    bench.engine.containers["halab-3m3w-m2"].state = "exited"
    bench.cluster.silence = "refused"  # without it the API may stay silent
    assert "powered on again" in bench.missing(booted=("m2",))["m2"]
    assert bench.engine.calls == ["start halab-3m3w-m2"]


@pytest.mark.parametrize(
    ("booted", "fencing"), [((), True), (("m2", "w1"), False)], ids=["not booted", "no fencing"]
)
def test_wait_leaves_machines_off_when_nobody_shot_them(
    bench: Bench,
    booted: tuple[str, ...],
    fencing: bool,  # noqa: FBT001
) -> None:
    bench.topology = replace(bench.topology, ha=replace(bench.topology.ha, fencing=fencing))
    for name in ("m2", "w1"):
        bench.engine.containers[f"halab-3m3w-{name}"].state = "exited"
    bench.missing(booted=booted)
    assert bench.engine.calls == []


def test_wait_starts_pacemaker_again_when_it_ended_for_good(bench: Bench) -> None:
    state = Result(0, "ActiveState=inactive\nExecMainStatus=100\n")
    bench.engine.answers["m3: systemctl show pacemaker"] = state
    assert "its Pacemaker had ended" in bench.missing()["m3"]
    starts = [line for line in bench.engine.commands if "systemctl start" in line]
    assert starts == ["halab-3m3w-m3: systemctl start --no-block pacemaker"]


# --- how it ends ---


def test_wait_names_what_is_missing_with_its_last_lines_when_time_is_out(bench: Bench) -> None:
    del bench.cluster.items["w2"]
    with pytest.raises(WaitTimeout, match="lab 3m3w: w2 not ready") as caught:
        bench.readiness().wait(0)
    assert caught.value.last == "w2: not registered yet"
    assert "`halab logs 3m3w w2` shows more" in caught.value.hint
    assert "--- journal of w2\nkubelet: no network" in caught.value.hint


def test_wait_ends_without_an_error_when_it_is_cancelled(bench: Bench) -> None:
    bench.cluster.ready = False
    ready = bench.readiness()
    ready.lab.cancelled.set()
    ready.wait(60)
    assert bench.heard.finished == set()


# --- waiting for the founder ---


@dataclass
class Founding:
    """A double of a distribution whose founder is shot at the first question."""

    engine: FakeEngine
    never: bool = False
    asked: int = 0

    def admits(self, node: Any) -> Observation:
        self.asked += 1
        if self.asked == 1 or self.never:
            self.engine.kill(node.container)
            raise EngineError("container is not running")
        return Observation(ok=self.asked > 2, detail="starts")


def await_founder(bench: Bench, founding: Founding) -> None:
    founder = handle(bench.engine, "3m3w", bench.topology.node("m"))  # type: ignore[arg-type]
    readiness.await_admitting(founding, [founder], Silent(), threading.Event())  # type: ignore[arg-type]


def test_await_admitting_powers_the_founder_on_again_when_it_is_shot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Event, "wait", lambda *_: False)
    founding = Founding(bench.engine)
    await_founder(bench, founding)
    assert founding.asked == 3
    assert bench.engine.calls == ["kill halab-3m3w-m", "start halab-3m3w-m"]


def test_await_admitting_raises_when_time_is_out_and_no_journal_can_be_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "ADMIT_TIMEOUT_S", 0)
    with pytest.raises(WaitTimeout, match="m lets others join its cluster") as caught:
        await_founder(bench, Founding(bench.engine, never=True))
    assert "journal of m cannot be read" in caught.value.hint
