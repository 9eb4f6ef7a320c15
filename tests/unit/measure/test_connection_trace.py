"""Connections as conntrack tells them, and the traces' life on the nodes."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_engine import FakeEngine

from lab.base.errors import LabError
from lab.engine.commands import Result
from lab.engine.files import File
from lab.engine.node import NodeHandle
from lab.measure import connection_events, connection_trace, leftovers, manifests
from lab.measure.connection_events import TracedAddress
from lab.measure.connection_trace import UNIT, ConnectionTraces
from lab.measure.instruments import Instruments
from lab.measure.listener import Listener
from lab.measure.probe import ProbeContext
from lab.topology import loader

ROOT = Path(__file__).parents[3]
TOPOLOGY = loader.load(ROOT / "topologies" / "3m3w.yaml").topology
SERVICE = TracedAddress("service", "10.96.0.80", 80, "tcp")
DNS = TracedAddress("dns", "10.96.0.10", 53, "udp")
ASKER, DEAD = "10.244.1.5", "10.244.2.7"
BEGIN = 1795792874.0
TAIL = "src=10.244.1.5 dst=10.244.1.5 sport=8080 dport=34714"
RECORDED = f"""\
[1795792874.862206]\t    [NEW] tcp      6 120 SYN_SENT src=10.244.1.5 dst=10.96.0.80 \
sport=34714 dport=80 [UNREPLIED] {TAIL}
[1795792874.862307]\t [UPDATE] tcp      6 60 SYN_RECV src=10.244.1.5 dst=10.96.0.80 \
sport=34714 dport=80 {TAIL}
[1795792874.862322]\t [UPDATE] tcp      6 432000 ESTABLISHED src=10.244.1.5 dst=10.96.0.80 \
sport=34714 dport=80 {TAIL} [ASSURED]
[1795792874.862289]\t    [NEW] udp      17 30 src=10.244.1.5 dst=10.96.0.10 sport=43004 dport=53 \
[UNREPLIED] src=10.244.1.5 dst=10.244.1.5 sport=5353 dport=43004
[1795792874.862333]\t [UPDATE] tcp      6 120 FIN_WAIT src=10.244.1.5 dst=10.96.0.80 \
sport=34714 dport=80 {TAIL} [ASSURED]
[1795792874.862340]\t [UPDATE] udp      17 30 src=10.244.1.5 dst=10.96.0.10 sport=43004 dport=53 \
src=10.244.1.5 dst=10.244.1.5 sport=5353 dport=43004
[1795792874.862359]\t [UPDATE] tcp      6 120 TIME_WAIT src=10.244.1.5 dst=10.96.0.80 \
sport=34714 dport=80 {TAIL} [ASSURED]
[1795792874.863403]\t    [NEW] tcp      6 120 SYN_SENT src=10.244.1.5 dst=10.96.0.80 \
sport=34724 dport=80 [UNREPLIED] src=10.244.2.7 dst=10.244.1.5 sport=8080 dport=34724
[1795792875.365279]\t    [NEW] udp      17 30 src=10.244.1.5 dst=10.96.0.10 sport=57785 dport=53 \
[UNREPLIED] src=10.244.2.7 dst=10.244.1.5 sport=5353 dport=57785
"""
"""What conntrack 1.4.7 printed for `-E -e NEW,UPDATES -o timestamp -d ADDRESS` on Linux 6.18, with
iptables' rules that translate each address to two endpoints in turns, one of which is not there."""


def seen(text: str = RECORDED) -> list[connection_events.Connection]:
    return connection_events.connections(text.splitlines(), (SERVICE, DNS))


def test_a_connections_endpoint_is_where_its_answer_would_come_from() -> None:
    assert [(row.name, row.endpoint, row.quick) for row in seen()] == [
        ("service", ASKER, True),
        ("dns", ASKER, True),
        ("service", DEAD, False),
        ("dns", DEAD, False),
    ]
    good, _, lost, _ = seen()
    assert good.answered == pytest.approx(BEGIN + 0.862307)
    assert good.end == pytest.approx(BEGIN + 0.862333)
    assert (lost.answered, lost.end) == (None, None)


AT = "[1795792874.862206]"
QUESTION = "src=10.244.1.5 dst=10.96.0.10"
ANSWER = "src=10.244.2.7 dst=10.244.1.5"
OTHERS = {
    "nothing": "",
    "its node died while it wrote": f"{AT}\t    [NEW] tcp      6 120 SYN_S",
    "events were lost": "WARNING: We have hit ENOBUFS! We are losing events.",
    "its end": f"{AT}\t[DESTROY] udp      17 {QUESTION} sport=1 dport=53 {ANSWER} sport=53 dport=1",
    "a ping": f"{AT}\t    [NEW] icmp     1 30 {QUESTION} type=8 code=0 id=1 [UNREPLIED] {ANSWER} ",
    "another port": f"{AT}\t    [NEW] tcp      6 120 SYN_SENT {QUESTION} sport=1 dport=9153 "
    f"[UNREPLIED] {ANSWER} sport=9153 dport=1",
    "it began before the trace": f"{AT}\t [UPDATE] udp      17 30 {QUESTION} sport=1 dport=53 "
    f"{ANSWER} sport=53 dport=1",
}


@pytest.mark.parametrize("line", OTHERS.values(), ids=OTHERS)
def test_other_lines_are_no_connections(line: str) -> None:
    assert seen(line) == []


def test_without_a_translation_no_pod_was_chosen() -> None:
    (row,) = seen(
        "[1795792874.862206]\t    [NEW] tcp      6 120 SYN_SENT src=10.244.1.5 dst=10.96.0.80 "
        "sport=34714 dport=80 [UNREPLIED] src=10.96.0.80 dst=10.244.1.5 sport=80 dport=34714"
    )
    assert row.endpoint == ""


def test_counters_and_marks_of_other_kernels_are_passed_over() -> None:
    (row,) = seen(
        "[1795792874.862206]\t    [NEW] udp      17 30 src=10.244.1.5 dst=10.96.0.10 sport=4 "
        "dport=53 packets=1 bytes=60 [UNREPLIED] src=10.244.2.7 dst=10.244.1.5 sport=53 dport=4 "
        "packets=0 bytes=0 mark=0"
    )
    assert row.endpoint == DEAD


def test_only_the_pods_that_measure_are_kept() -> None:
    other = RECORDED.replace("src=10.244.1.5 dst=10.96.0.10", "src=10.244.1.9 dst=10.96.0.10")
    rows = connection_events.of_askers(seen(RECORDED + other), "service")
    assert {row.client for row in rows} == {ASKER}
    alone = [row for row in seen(other) if row.name == "dns"]
    assert connection_events.of_askers(alone, "service") == alone


def test_quick_connections_are_counted_and_others_are_events() -> None:
    events = list(connection_events.events("w1", seen(), -BEGIN, 10.0))
    lost = [event for event in events if event.kind == "connection"]
    counted = [event for event in events if event.kind == "trace"]
    assert [(event.get("to"), event.get("endpoint")) for event in lost] == [
        ("service", DEAD),
        ("dns", DEAD),
    ]
    assert lost[0].t == pytest.approx(0.863403)
    assert "answered" not in lost[0].data
    assert [(event.get("to"), event.get("count")) for event in counted] == [
        ("service", 1),
        ("dns", 1),
    ]
    assert all(event.get("node") == "w1" for event in events)
    assert len(list(connection_events.events("w1", seen(), -BEGIN, 1.0))) == 3


def nodes(engine: FakeEngine, *names: str) -> list[NodeHandle]:
    for name in names:
        engine.add(f"halab-x-{name}")
    return [NodeHandle(cast("Any", engine), "x", name, "worker", "") for name in names]


CLUSTER = cast(
    "Any",
    SimpleNamespace(
        nodes=lambda: {"w1": {"spec": {"podCIDR": "10.244.1.0/24"}}, "w2": {"spec": {}}}
    ),
)


def test_a_trace_begins_on_every_node_that_can_and_is_read_when_its_node_is_off() -> None:
    engine = FakeEngine()
    both = nodes(engine, "w1", "w2")
    engine.answers["halab-x-w2: "] = Result(3, "")  # an old image without conntrack
    traces = ConnectionTraces(both, "abc", (SERVICE, DNS))
    (began,) = traces.start(CLUSTER, 1.0)
    assert (began.get("node"), began.get("state")) == ("w1", "begin")
    assert began.get("pods") == {"w1": "10.244.1.0/24", "w2": ""}
    assert f"--unit={UNIT}" in engine.commands[0]
    assert "RuntimeMaxSec" in engine.commands[0]
    assert f"{manifests.FOLDER}/abc.trace 10.96.0.80 10.96.0.10" in engine.commands[0]
    both[0].put([File(path=traces.path, content=RECORDED.encode() + b"[17957928")])
    engine.stop("halab-x-w1", 1)
    events = list(traces.read(-BEGIN, 10.0))
    assert len(events) == 4
    assert {event.get("node") for event in events} == {"w1"}


def test_a_trace_that_cannot_begin_or_be_read_is_no_error() -> None:
    engine = FakeEngine()
    traces = ConnectionTraces(nodes(engine, "w1", "w2"), "abc", (SERVICE, DNS))
    engine.stop("halab-x-w2", 1)
    assert [event.get("node") for event in traces.start(CLUSTER, 1.0)] == ["w1"]
    assert list(traces.read(0.0, 10.0)) == []  # nothing was written
    del engine.containers["halab-x-w1"]
    assert list(traces.read(0.0, 10.0)) == []


def test_the_addresses_are_those_that_the_askers_ask() -> None:
    found = connection_trace.addresses(ProbeContext(topology=TOPOLOGY, service_ip="10.43.7.7"))
    assert [(each.ip, each.port, each.protocol) for each in found] == [
        ("10.43.7.7", 80, "tcp"),
        (str(TOPOLOGY.kubernetes.cluster_dns), 53, "udp"),
    ]


@pytest.mark.parametrize("answers", [True, False])
def test_what_a_run_left_ends_its_traces_too_whether_the_api_answers_or_not(
    answers: bool,  # noqa: FBT001 (a value)
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = FakeEngine()
    names = [node.name for node in TOPOLOGY.nodes]
    handles = {node.name: node for node in nodes(engine, *names)}

    def remove(*_: Any) -> None:
        if not answers:
            raise LabError("the API does not answer")

    monkeypatch.setattr(leftovers.target_service, "remove", remove)
    lab = SimpleNamespace(
        engine=engine,
        name="x",
        topology=TOPOLOGY,
        cluster=lambda: nullcontext(None),
        node=handles.__getitem__,
    )
    with nullcontext() if answers else pytest.raises(LabError):
        leftovers.remove(cast("Any", lab), lambda _: None)
    ended = [line for line in engine.commands if f"systemctl stop {UNIT}" in line]
    assert len(ended) == len(names)
    assert all(manifests.FOLDER in line for line in ended)


def test_what_is_read_is_on_the_runs_clock(tmp_path: Path) -> None:
    """The agent's first line says what its machine's clocks show; the nodes share them."""
    engine = FakeEngine()
    handles = nodes(engine, "w1")
    instruments = Instruments(cast("Any", SimpleNamespace(engine=engine)), tmp_path, begin=5000.0)
    instruments._traces = ConnectionTraces(handles, "abc", (SERVICE, DNS))
    instruments._traces.start(CLUSTER, 1.0)
    handles[0].put([File(path=instruments._traces.path, content=RECORDED.encode())])
    line = {"kind": "clock", "t": 100.0, "wall": BEGIN - 20.0, "boot": "another"}
    instruments._listener = listener = Listener(
        cast("Any", Spoken([json.dumps(line).encode()])), 5000.0, lambda _: None, dict
    )
    listener.join(10)
    # 20 s after the agent's first line, which was heard `offset` later on this machine's clock.
    shift = listener.offset - instruments.begin
    first = min(event.t for event in instruments._traced(shift, 500.0))
    assert first == pytest.approx(120.862206 + shift)
    listener.epoch = None  # an agent that does not say
    assert list(instruments._traced(shift, 500.0)) == []


class Spoken:
    """A conversation with an agent that has said some lines."""

    def __init__(self, lines: list[bytes]) -> None:
        self.said = lines

    def lines(self) -> list[tuple[bool, list[bytes]]]:
        return [(True, self.said)]

    def close(self) -> None:
        pass


def test_events_can_be_written_and_read() -> None:
    for event in connection_events.events("w1", seen(), -BEGIN, 10.0):
        assert json.loads(event.line())["kind"] == event.kind
