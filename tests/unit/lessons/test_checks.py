"""Checks look at a lab by themselves, and say what they saw."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_engine import FakeEngine

from lab.analysis.history import events, run_folders
from lab.base.errors import LabError
from lab.base.wait import Observation
from lab.engine.commands import Result
from lab.lessons import checks, debrief, lab_view
from lab.lessons.lab_view import LabView
from lab.lessons.model import DebriefFigure, Lesson, LessonCheck
from lab.lessons.record import Former, LessonProgress
from lab.live import status, steady_state
from lab.live.lab import Lab
from lab.live.status import LabStatus, NodeStatus
from lab.measure.journal_events import Entry
from lab.nodes import etcd
from lab.nodes.etcd import Member
from lab.nodes.ha.fencings import Fencing
from lab.topology.expectation import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.topology.model import Topology

NOW = time.time()


def row(name: str, role: str = "master", **more: Any) -> NodeStatus:
    values: dict[str, Any] = {"state": "running", "kubernetes": "Ready", "etcd": "follower"}
    values |= {"name": name, "role": role, "ip": "172.30.0.1", "version": "v1", "vip": False}
    return NodeStatus(**{**values, **more})


def lab_status(rows: Iterable[NodeStatus], **more: Any) -> LabStatus:
    values: dict[str, Any] = {"distribution": "upstream", "release": "", "api": "", "vip": ""}
    values |= {"vip_holders": ("m2",), "etcd_leader": "m3", "fencing": True, "fenced": "off-stays"}
    values |= {"fencings": (), "bmc": "running", "addons": (), "faults": (), "problems": ()}
    return LabStatus(name="3m3w", nodes=tuple(rows), **{**values, **more})


@pytest.fixture
def engine(topology: Topology) -> FakeEngine:
    engine = FakeEngine()
    for node in topology.machines:
        engine.add(f"halab-3m3w-{node.name}", "3m3w", **{"halab.distribution": "upstream"})
    return engine


@pytest.fixture
def view(engine: FakeEngine, topology: Topology) -> LabView:
    """A lab whose master m was crashed and fenced; m2 took the VIP, m3 leads."""
    progress = LessonProgress(lesson="x", lab="3m3w", began=NOW - 60, step_began=NOW - 30)
    progress.former = Former(holder="m", leader="m", term=4)
    view = LabView(Lab(engine, topology), progress)  # type: ignore[arg-type]
    roles = {node.name: node.role.value for node in topology.machines}
    rows = [row(name, role) for name, role in roles.items() if name != "m"]
    rows.append(row("m", state="exited", kubernetes="NotReady", etcd="-"))
    fencing = Fencing("m", int(NOW - 40), 1.0, 2, host_busy=False)
    view.__dict__["status"] = lab_status(rows, fencings=(fencing,))
    view.__dict__["term"] = 5
    view.__dict__["faults"] = (SimpleNamespace(fault="crash", node="m"),)
    return view


def ask(view: LabView, kind: str, subject: str, **options: str) -> tuple[bool, str]:
    named = {name.rstrip("_").replace("_", "-"): each for name, each in options.items()}
    check = LessonCheck(kind=kind, subject=subject, options=named)
    (answer,) = checks.ask(view, [check])
    return answer.ok, answer.seen


@pytest.mark.parametrize(
    ("kind", "subject", "options", "ok"),
    [
        ("node", "@former-holder", {"is_": "off"}, True),
        ("node", "m,m2", {"is_": "off"}, False),
        ("node", "m", {"is_": "NotReady"}, True),
        ("node", "role:worker", {"is_": "Ready"}, True),
        ("node", "m2", {"is_": "frozen"}, False),
        ("vip", "held", {}, True),
        ("vip", "moved", {}, True),
        ("vip", "nobody", {}, False),
        ("etcd", "new-leader", {}, True),
        ("etcd", "new-term", {}, True),
        ("fenced", "@former-leader", {}, True),
        ("fenced", "m2", {}, False),
        ("fenced", "nobody", {}, True),  # since the step began
        ("fault", "crash", {}, True),
        ("fault", "crash", {"at": "@former-holder"}, True),
        ("fault", "crash", {"at": "m2"}, False),
        ("fault", "none", {}, False),
    ],
)
def test_a_check_compares_the_status(
    view: LabView, kind: str, subject: str, options: dict[str, str], *, ok: bool
) -> None:
    assert ask(view, kind, subject, **options)[0] is ok


def test_a_check_says_what_it_saw(view: LabView) -> None:
    assert ask(view, "node", "m", is_="off")[1] == "m is exited, Kubernetes says NotReady"
    assert ask(view, "vip", "moved")[1] == "held by m2; at the beginning by m"
    seen = "leader m3 in term 5; at the beginning m in term 4"
    assert ask(view, "etcd", "new-term")[1] == seen
    assert "on: crash at m" in ask(view, "fault", "none")[1]


def test_nothing_has_moved_on_a_quiet_lab(view: LabView) -> None:
    view.progress.former = Former(holder="m2", leader="m3", term=5)
    view.__dict__["faults"] = ()
    for kind, subject in (("vip", "moved"), ("etcd", "new-leader"), ("etcd", "new-term")):
        assert ask(view, kind, subject)[0] is False
    assert ask(view, "fault", "none")[0] is True


def test_the_lab_as_a_whole_is_asked_in_a_scenarios_words(
    view: LabView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steady_state.status, "look", lambda _: view.status)
    assert ask(view, "lab", "quorum") == (True, "etcd_leader: m3")
    assert ask(view, "lab", "vip")[0] is True
    assert ask(view, "lab", "no-quorum")[0] is False
    monkeypatch.setitem(checks.CONDITIONS, "steady", lambda _: Observation(ok=True, detail="yes"))
    assert ask(view, "lab", "steady") == (True, "yes")


def test_voters_are_counted(view: LabView, monkeypatch: pytest.MonkeyPatch) -> None:
    members = tuple(Member(name, name, ()) for name in ("m", "m2"))
    monkeypatch.setattr(etcd, "members", lambda *_: members)
    assert ask(view, "etcd", "voters", count="2") == (True, "2 members: m, m2")
    assert ask(view, "etcd", "voters")[0] is False  # as many as masters


def test_commands_and_files_are_read_on_their_nodes(view: LabView, engine: FakeEngine) -> None:
    engine.answers = {
        "halab-3m3w-m2: …hosts": Result(0, "127.0.0.1 m2\n"),
        "halab-3m3w-w1: …hosts": Result(1, "no such file\n"),
        "quorate": Result(0, "Quorate: Yes\n"),
        "ask 172.30.0.50 3m3w": Result(0, "2\n"),
    }
    assert ask(view, "run", "quorate", prints="^Quorate: +Yes") == (True, "m2: Quorate: Yes")
    assert ask(view, "run", "ask VIP-ADDRESS LAB", at="w1", prints="^2$")[0] is True
    assert ask(view, "file", "/etc/hosts", at="m2", prints="m2")[0] is True
    assert ask(view, "file", "/etc/hosts", at="m2,w1") == (
        False,
        "m2: 127.0.0.1 m2; w1: ended with 1",
    )


def pod(node: str, *, ready: bool = True, leaving: bool = False) -> dict[str, Any]:
    state = {"type": "Ready", "status": str(ready)}
    metadata = {"deletionTimestamp": "now"} if leaving else {}
    return {
        "metadata": metadata,
        "spec": {"nodeName": node},
        "status": {"conditions": [state]},
    }


def test_pods_are_counted_where_they_are_ready(view: LabView, engine: FakeEngine) -> None:
    pods = [pod("w2"), pod("w3"), pod("w1", leaving=True), pod("w1", ready=False)]
    engine.answers = {"labelSelector=app%3Dweb": Result(0, json.dumps({"items": pods}))}
    assert ask(view, "pods", "app=web", count="2", away_from="w1") == (
        True,
        "2 of 4 ready: 1 on w2, 1 on w3",
    )
    assert ask(view, "pods", "app=web", count="3")[0] is False
    assert ask(view, "pods", "app=web", at="w2")[0] is False


def test_what_the_learner_wrote_is_compared_and_not_given_away(
    view: LabView, engine: FakeEngine
) -> None:
    data = {"holder": "m2", "leader": "m2", "count": "2"}
    engine.answers = {"configmaps": Result(0, json.dumps({"items": [{"data": data}]}))}
    assert ask(view, "answer", "holder", is_="@vip-holder") == (True, "you wrote `m2`: right")
    assert ask(view, "answer", "leader", is_="@leader") == (False, "you wrote `m2`: not so")
    assert ask(view, "answer", "count", is_="2")[0] is True
    assert "has no key `x`" in ask(view, "answer", "x", is_="2")[1]


def test_an_api_that_cannot_be_asked_has_not_passed(view: LabView, engine: FakeEngine) -> None:
    engine.answers = {"kubectl": Result(1, "connection refused")}
    assert ask(view, "pods", "app=web") == (
        False,
        "the API cannot be asked: connection refused",
    )
    engine.containers["halab-3m3w-lb"].state = "exited"
    assert ask(view, "api", "vip", is_="silent")[0] is False


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (
            "error: You must be logged in to the server (Unauthorized)",
            "the API at m3 answers 401: it does not know who asks",
        ),
        (
            'Error from server (InternalError): an error ("[+]ping ok\n[-]etcd failed")',
            "the API at m3 answers 500: an error of its own",
        ),
        (
            "W1127 a warning\nError from server (NotFound): the server could not find it",
            "the API at m3 answers 404: there is no such object",
        ),
        (
            "Error from server: etcdserver: leader changed",
            "the API at m3 answers with an error: etcdserver: leader changed",
        ),
        (
            "The connection to the server 127.0.0.1:6443 was refused",
            "the API cannot be asked: The connection to the server 127.0.0.1:6443 was refused",
        ),
    ],
)
def test_an_error_that_the_api_answers_is_no_missing_object(
    view: LabView, engine: FakeEngine, printed: str, said: str
) -> None:
    engine.answers = {"kubectl": Result(1, printed)}
    assert ask(view, "answer", "holder", is_="m2") == (False, said)
    assert ask(view, "pods", "app=web", count="0") == (False, said)


def test_what_one_master_answers_is_told_rather_than_that_others_are_silent(
    view: LabView, engine: FakeEngine
) -> None:
    engine.answers = {
        "halab-3m3w-m2: …kubectl": Result(1, "Error from server (Forbidden): no"),
        "kubectl": Result(1, "connection refused"),
    }
    said = "the API at m2 answers 403: who asks may not"
    assert ask(view, "pods", "app=web") == (False, said)
    engine.answers = {"kubectl": Result(0, "<html>")}
    assert "no JSON" in ask(view, "pods", "app=web")[1]


VIP = "172.30.0.50"


@pytest.mark.parametrize(
    ("curl", "said", "answering", "silent"),
    [
        (Result(7, "000"), "answers nothing", False, True),
        (Result(0, "200"), "answers 200: ready", True, False),
        (
            Result(0, "401"),
            "answers 401: it serves, and tells only who has a certificate whether it is ready",
            True,
            False,
        ),
        (Result(0, "500"), "answers 500: it runs, and says that it is not ready", False, False),
        (Result(0, "404"), "answers 404: no answer of an API server to /readyz", False, False),
    ],
)
def test_an_api_that_answers_an_error_is_neither_silent_nor_there(
    view: LabView, engine: FakeEngine, curl: Result, said: str, *, answering: bool, silent: bool
) -> None:
    engine.answers = {VIP: curl}
    assert ask(view, "api", "vip", is_="answering") == (answering, f"{VIP} {said}")
    assert ask(view, "api", "vip", is_="silent") == (silent, f"{VIP} {said}")


def test_the_api_is_asked_by_each_way(view: LabView, engine: FakeEngine) -> None:
    engine.answers = {VIP: Result(7, "000"), "https": Result(0, "401")}
    assert ask(view, "api", "vip", is_="silent")[0] is True
    assert ask(view, "api", "lb", is_="answering")[0] is True
    assert ask(view, "api", "m2,m3", is_="answering")[0] is True
    assert ask(view, "api", "m2,m3", is_="silent")[0] is False


def test_a_run_counts_if_it_began_in_this_step(view: LabView) -> None:
    assert ask(view, "scenario", "crash-worker")[1] == "not run since this step began"
    folder = run_folders.new("3m3w", "crash-worker")
    history = [events.Event(0.0, "run", {"lab": "3m3w"})]
    with (folder / run_folders.HISTORY).open("w") as file:
        events.write(file, history)
    assert ask(view, "scenario", "crash-worker")[0] is False  # it still goes on
    (folder / "report.json").write_text('{"outcome": "fail"}')
    assert ask(view, "scenario", "crash-worker")[0] is True
    assert ask(view, "scenario", "crash-worker", outcome="pass")[0] is False
    check = LessonCheck(kind="scenario", subject="crash-worker", expect=(parse("vip_unique"),))
    (answer,) = checks.ask(view, [check])
    assert not answer.ok  # too little was measured
    view.progress.step_began = NOW + 3600
    assert ask(view, "scenario", "crash-worker")[0] is False


def test_the_former_holder_is_noted_only_on_a_whole_lab(view: LabView) -> None:
    assert lab_view.former(view) == Former(holder="m", leader="m", term=4)
    rows = [row(name) for name in ("m", "m2", "m3")]
    view.__dict__["status"] = lab_status(rows)
    assert lab_view.former(view) == Former(holder="m2", leader="m3", term=5)


def test_a_word_that_means_nobody_is_told(view: LabView) -> None:
    view.progress.former = Former()
    assert ask(view, "node", "@former-holder", is_="off") == (
        False,
        "`@former-holder` means no node now",
    )


def test_terms_are_asked_of_all_masters_that_run(
    engine: FakeEngine, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(node: Any, *_: Any) -> dict[str, Any]:
        if node.name == "m":
            raise LabError("no answer")
        return {"raftTerm": {"m2": "7", "m3": "8"}[node.name]}

    monkeypatch.setattr(status, "look", lambda _: lab_status(row(n) for n in ("m", "m2", "m3")))
    monkeypatch.setattr(etcd, "ask", answered)
    progress = LessonProgress(lesson="x", lab="3m3w")
    assert LabView(Lab(engine, topology), progress).term == 8  # type: ignore[arg-type]


def entry(t: float, text: str, who: str = "corosync") -> Entry:
    return Entry(t, "m2", who, "", text)


LOST = "[TOTEM ] A processor failed, forming new configuration: token timed out"
FORMED = "[TOTEM ] A new membership (2.1) was formed."


def test_the_debrief_measures_between_the_last_two_stages_that_belong_together() -> None:
    journal = [
        entry(1.0, FORMED),
        entry(10.0, LOST),
        entry(11.2, FORMED),
        entry(20.0, LOST),
        entry(21.5, FORMED),
        entry(30.0, LOST),
    ]
    assert debrief.between(journal, "token-lost", "membership") == 1.5
    assert debrief.between(journal, "token-lost", "fenced") is None


def test_a_debrief_puts_both_figures_side_by_side(
    view: LabView, monkeypatch: pytest.MonkeyPatch
) -> None:
    view.progress.first_term = 2
    journal = [entry(1.0, LOST), entry(2.25, FORMED)]
    monkeypatch.setattr(debrief.journals, "collect", lambda *_: SimpleNamespace(entries=journal))
    figures = (
        DebriefFigure(name="terms", report="2", terms=True),
        DebriefFigure(name="consensus", report="1.2 s", journal=("token-lost", "membership")),
        DebriefFigure(name="away", report="3 s", scenario="crash-worker", figure="outage(dns)"),
    )
    lesson = SimpleNamespace(figures=figures)
    rows = debrief.rows(view, as_lesson(lesson))
    assert [(each.yours, each.report) for each in rows] == [
        ("3", "2"),
        ("1.25 s", "1.2 s"),
        ("not measured: `crash-worker` was not run", "3 s"),
    ]


def as_lesson(double: Any) -> Lesson:
    return double
