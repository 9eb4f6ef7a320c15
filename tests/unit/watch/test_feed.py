"""The live feed: what nodes and the engine say becomes events, whatever is lost meanwhile."""

from __future__ import annotations

import base64
import json
import queue
import subprocess
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_engine import FakeEngine

from lab.base import paths
from lab.base.errors import EngineError
from lab.engine.agents import Conversation
from lab.live import active_faults
from lab.live.active_faults import RECORD, RECORDS_END, ActiveFault, FaultRecords
from lab.live.lab import Lab
from lab.topology import loader
from lab.watch import agent, questions
from lab.watch import feed as feeds
from lab.watch.feed import LiveFeed, pod, powers
from lab.watch.node_talk import PROGRAM, NodeTalk, controller, members, own_probe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.analysis.history.events import Event

TOPOLOGY = loader.load(paths.shipped("topologies") / "3m3w.yaml").topology
PATIENCE_S = 60.0
MEMBERS = """Quorum information
Quorate:          Yes

Membership information
----------------------
    Nodeid      Votes Name
         1          1 m (local)
         2          1 m2
"""


class FakeConversation(Conversation):
    """Says what a test lets it say, until it is closed."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked: list[str] = []
        self._lines: queue.SimpleQueue[tuple[bool, bytes] | None] = queue.SimpleQueue()

    def lines(self) -> Iterator[tuple[bool, list[bytes]]]:
        while (said := self._lines.get()) is not None:
            yield said[0], [said[1]]

    def say(self, line: str) -> None:
        self.asked.append(line)

    def answer(self, line: bytes, *, output: bool = True) -> None:
        self._lines.put((output, line))

    def close(self) -> None:
        self._lines.put(None)


class TalkingEngine(FakeEngine):
    """An engine whose machines can be talked to."""

    def __init__(self) -> None:
        super().__init__()
        self.talks: dict[str, FakeConversation] = {}
        self.gone = False
        for node in TOPOLOGY.containers:
            self.add(f"halab-3m3w-{node.name}", "3m3w", **{"halab.node": node.name})

    def observe(self, lab: str) -> Any:
        if self.gone:
            raise EngineError("the engine does not answer")
        return super().observe(lab)

    def follow(self, container: str, argv: Sequence[str]) -> FakeConversation:
        self._active(container)
        assert list(argv)[:2] == ["sh", "-c"]
        self.talks[container] = FakeConversation()
        return self.talks[container]

    def lose(self, name: str) -> None:
        self.containers[f"halab-3m3w-{name}"].state = "exited"
        self.talks[f"halab-3m3w-{name}"].close()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> TalkingEngine:
    monkeypatch.setattr(feeds, "AGAIN_S", 0.0)
    return TalkingEngine()


def opened(engine: TalkingEngine) -> LiveFeed:
    return LiveFeed(Lab(engine, TOPOLOGY))  # type: ignore[arg-type]


def of(events: Sequence[Event], kind: str, key: str) -> dict[str, Any]:
    return {str(event.get("node")): event.get(key) for event in events if event.kind == kind}


def test_machines_are_told_once_and_asked_by_their_role(engine: TalkingEngine) -> None:
    feed = opened(engine)
    feed.look()
    states = of(feed.due(), "machine", "state")
    assert states == {node.name: "running" for node in TOPOLOGY.machines}
    assert sorted(engine.talks["halab-3m3w-m"].asked) == sorted(feeds.ASK)
    assert engine.talks["halab-3m3w-w1"].asked == ["faults"]
    feed.look()
    assert of(feed.due(), "machine", "state") == {}


def test_what_is_being_started_when_the_watch_ends_is_ended_too(
    engine: TalkingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for work in ("_sample", "_ask_power", "_list_pods"):
        monkeypatch.setattr(LiveFeed, work, lambda _: None)
    monkeypatch.setattr(feeds, "END_S", PATIENCE_S)
    feed = opened(engine)
    begun = threading.Event()
    follow = engine.follow

    def late(container: str, argv: Sequence[str]) -> FakeConversation:
        begun.set()
        feed._ended.wait()
        return follow(container, argv)

    monkeypatch.setattr(engine, "follow", late)
    with feed:
        begun.wait()
    assert engine.talks
    for talk in feed._talks.values():
        talk._thread.join()  # each heard the end: else this never returns


def test_a_machine_that_dies_is_told_and_talked_to_again(engine: TalkingEngine) -> None:
    feed = opened(engine)
    feed.look()
    feed.due()
    before = engine.talks["halab-3m3w-m2"]
    engine.lose("m2")
    feed.look()
    assert of(feed.due(), "machine", "state") == {"m2": "exited"}
    engine.containers["halab-3m3w-m2"].state = "running"
    feed._talks["m2"]._thread.join()  # the state that is waited for: it heard the end
    feed.look()
    assert of(feed.due(), "machine", "state") == {"m2": "running"}
    assert engine.talks["halab-3m3w-m2"] is not before


def test_an_engine_that_is_gone_is_no_end(engine: TalkingEngine) -> None:
    feed = opened(engine)
    feed.look()
    feed.due()
    engine.gone = True
    for _ in range(2):
        with feed._reporting("engine"):
            feed.look()
    events = feed.due()
    assert set(of(events, "machine", "state").values()) == {""}
    assert [event.get("text") for event in events if event.kind == "problem"] == [
        "the engine does not answer"
    ]
    engine.gone = False
    with feed._reporting("engine"):
        feed.look()
    events = feed.due()
    assert set(of(events, "machine", "state").values()) == {"running"}
    assert [event.get("text") for event in events if event.kind == "problem"] == [""]


def test_a_lab_that_is_gone_has_no_machines(engine: TalkingEngine) -> None:
    feed = opened(engine)
    engine.containers.clear()
    feed.look()
    assert set(of(feed.due(), "machine", "state").values()) == {"missing"}
    assert engine.talks == {}


def test_what_a_node_says_becomes_events(engine: TalkingEngine) -> None:
    feed = opened(engine)
    feed.look()
    feed.due()
    talk = engine.talks["halab-3m3w-m"]
    talk.answer(b"corosync " + base64.b64encode(MEMBERS.encode()))
    talk.close()
    feed._talks["m"]._thread.join()
    assert of(feed.due(), "cluster", "members") == {"m": ["m", "m2"]}


def heard(talk: NodeTalk, *lines: str) -> list[Event]:
    return list(talk.events([line.encode() for line in lines], 50.0))


def test_answers_of_a_node_are_read() -> None:
    talk = NodeTalk("m", begin=100.0)
    text = base64.b64encode(b"Designated Controller is: m2 3.0.0-3.0.0").decode()
    assert heard(talk, f"dc {text}")[0].get("name") == "m2"
    assert heard(talk, "corosync ")[0].get("ok") is False
    assert heard(talk, "corosync %%%", "nonsense", "")[0].kind == "cluster"
    assert members("") == []
    assert members(MEMBERS) == ["m", "m2"]
    assert controller("Designated Controller is: ") == controller("error") == ""


def test_journal_lines_are_milestones_on_the_watch_s_clock() -> None:
    line = {
        "__MONOTONIC_TIMESTAMP": "112500000",
        "SYSLOG_IDENTIFIER": "pacemaker-controld",
        "MESSAGE": "notice: Requesting fencing (off) targeting node m",
    }
    event = heard(NodeTalk("m3", begin=100.0), json.dumps(line))[0]
    assert (event.t, event.get("what"), event.get("node")) == (12.5, "fencing", "m3")
    assert heard(NodeTalk("m3", begin=200.0), json.dumps(line)) == []


def test_faults_are_told_when_their_records_come_and_go() -> None:
    talk = NodeTalk("m", begin=100.0, wall_offset=1000.0)
    record = json.dumps({"id": "a", "fault": "hang", "node": "m", "since": 1140.0})
    said, none, cut = (
        base64.b64encode(text.encode()).decode()
        for text in (
            f"{RECORD} a.json {record}\n{RECORDS_END}\n",
            f"{RECORDS_END}\n",
            f"{RECORD} b.j",
        )
    )
    fire = heard(talk, f"faults {said}", f"faults {said}")
    assert [(each.t, each.get("action"), each.get("fault")) for each in fire] == [
        (40.0, "fire", "hang")
    ]
    # No list, or half of one, heals nothing.
    assert heard(talk, "faults ", f"faults {cut}", "faults %%%") == []
    assert heard(talk, f"faults {none}")[0].get("action") == "healed"


def test_a_disk_that_cannot_be_read_heals_nothing(
    engine: TalkingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.containers["halab-3m3w-w1"].state = "exited"
    feed = opened(engine)
    hang = ActiveFault(id="a", fault="hang", node="w1")
    actions = []
    for found in (FaultRecords((hang,)), None, FaultRecords()):
        monkeypatch.setattr(active_faults, "read_from_disk", lambda *_, found=found: found)
        feed.look()
        actions.append([each.get("action") for each in feed.due() if each.kind == "fault"])
    assert actions == [["fire"], [], ["healed"]]


def test_an_agent_that_ends_is_a_problem_until_the_next_one_samples(engine: TalkingEngine) -> None:
    def problems() -> list[str]:
        return [str(event.get("text")) for event in feed.due() if event.kind == "problem"]

    feed = opened(engine)
    feed.look()
    feed._sample_on("w1")
    talk = engine.talks["halab-3m3w-w1"]
    talk.answer(b"sh: probe: not found", output=False)
    talk.close()
    feed._inside["w1"]._listener._thread.join()
    feed._sample_on("w1")
    assert problems() == ["sh: probe: not found"]
    feed._sample_on("w1")
    assert problems() == []  # it runs, and has not sampled yet
    row = {"kind": "probe", "probe": "dns.node.w1", "t": 1.0, "end": 1.1, "ok": True}
    engine.talks["halab-3m3w-w1"].answer(json.dumps(row).encode())
    engine.talks["halab-3m3w-w1"].close()
    feed._inside["w1"]._listener._thread.join()
    feed._sample_on("w1")
    assert problems() == [""]  # that one sampled, and ended without a word


OLD, NEW = "2000-01-01T00:00:00.1Z", "2999-01-01T00:00:00.1Z"


@pytest.mark.parametrize(
    ("state", "created", "left"),
    [
        ("exited", NEW, True),
        ("created", OLD, True),
        ("dead", OLD, True),
        ("created", NEW, False),
        ("running", OLD, False),
    ],
)
def test_what_killed_watches_left_is_known(state: str, created: str, left: bool) -> None:  # noqa: FBT001
    assert agent._is_left({"State": {"Status": state}, "Created": created}) == left


def test_shell_on_the_node_answers_and_ends_with_its_input() -> None:
    done = subprocess.run(
        ["sh", "-c", PROGRAM], input=b"faults\nnothing\ncorosync\n", capture_output=True, check=True
    )
    words = [line.split()[0] for line in done.stdout.decode().splitlines()]
    assert words == ["faults", "corosync"]


def test_shell_gives_its_own_probe_a_configuration() -> None:
    done = subprocess.run(own_probe({"a": "'x'"}, "cat"), capture_output=True, check=True)
    assert json.loads(done.stdout) == {"a": "'x'"}


def test_power_and_pods_are_read() -> None:
    output = (
        "m Chassis Power is on\nm2 Chassis Power is off\nm3 Error: Unable to establish session\n"
    )
    assert powers(output) == {"m": "on", "m2": "off", "m3": "no answer"}
    item: dict[str, Any] = {
        "metadata": {"name": "a", "namespace": "d"},
        "spec": {"nodeName": "w1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert pod(item) == {"name": "a", "namespace": "d", "node": "w1", "state": "Ready"}
    item["metadata"]["deletionTimestamp"] = "now"
    assert pod(item)["state"] == "terminating"


def test_a_watch_asks_little_and_writes_nothing() -> None:
    rows = [*questions.outside(TOPOLOGY), *questions.on_node(TOPOLOGY, TOPOLOGY.workers[0])]
    assert [row.name for row in rows if row.client] == []
    assert sum(1 / row.interval for row in rows) < 60
    assert {"api.vip.new", "api.m3.new", "etcd.m", "vip.arp", "nodes", "dns.node.w1"} <= {
        row.name for row in rows
    }


def test_the_agent_outside_is_started_again_and_its_end_told(engine: TalkingEngine) -> None:
    feed = opened(engine)
    started: list[str] = []
    outside = SimpleNamespace(alive=False, sampled=False, complaint="killed")
    outside.start = lambda: started.append("once more")
    feed._outside = outside  # type: ignore[assignment]

    def told() -> list[tuple[str, str]]:
        feed.sample_outside()
        return [(event.kind, str(event.get("text"))) for event in feed.due()]

    assert told() == [("measuring", ""), ("measuring", "watch"), ("problem", "killed")]
    outside.alive = True
    assert told() == []
    outside.sampled = True
    assert told() == [("problem", "")]
    assert started == ["once more"]
