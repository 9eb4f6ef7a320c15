"""What the instrument asks, how its lines become events, and what journals tell."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lab.analysis.history import events as history
from lab.analysis.history.events import Event
from lab.base.errors import EngineError, InputError, LabError, WaitTimeout
from lab.base.wait import Observation
from lab.images import versions
from lab.kube.pki import new_secrets
from lab.measure import agent_config, manifests, probe, probes, url_probe
from lab.measure import instruments as probing
from lab.measure.instruments import Instruments
from lab.measure.journal_events import Entry, entries, events, milestone, timeline
from lab.measure.journals import lost, suppressed
from lab.measure.listener import Listener, offset, shifted
from lab.measure.probe import SPACE, ProbeContext
from lab.measure.probes import vip
from lab.measure.target_service import agent_ip, remove
from lab.nodes import distributions
from lab.topology import loader

if TYPE_CHECKING:
    from lab.kube.api import KubeApi

ROOT = Path(__file__).parents[3]
TOPOLOGY = loader.load(ROOT / "topologies" / "3m3w.yaml").topology
GROUND = ProbeContext(topology=TOPOLOGY, service_ip="10.43.7.7", node_port=30007)
WITHOUT_WORKERS = ProbeContext(topology=loader.load(ROOT / "topologies" / "3m0w.yaml").topology)


def named(ground: ProbeContext = GROUND) -> dict[str, probe.ProbeSpec]:
    return {row.name: row for row in probes.rows(ground)}


def test_names_are_the_ones_that_checkers_know() -> None:
    asked = {row.instrument()["probe"] for row in probes.rows(GROUND) if row.question}
    outside = (
        "api.vip.new api.vip.kept api.lb.new api.lb.kept api.m.new api.m2.new api.m3.new "
        "write.vip.new write.lb.new service.outside vip.arp"
    )
    pods = {f"{what}.pod.{node}" for what in ("service", "dns") for node in ("w1", "w2", "w3")}
    assert asked == {
        *outside.split(),
        *pods,
        "etcd.m",
        "etcd.m2",
        "etcd.m3",
        "nodes",
        "endpoints",
        "pods",
    }


def test_instruments_ask_the_users_services_at_the_labs_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[Any] = []
    lab = SimpleNamespace(
        name="x", cluster=lambda: nullcontext(SimpleNamespace(apply=applied.extend))
    )
    shop = url_probe.spec("shop", "http://vip:30080/", TOPOLOGY)
    made = Instruments(cast("Any", lab), tmp_path, pace=2.0, more=(shop,))
    monkeypatch.setattr(Instruments, "_target", lambda *_: GROUND)
    monkeypatch.setattr(Instruments, "_listen", lambda _: None)
    monkeypatch.setattr(Instruments, "_sampled", lambda _: Observation(ok=True, detail=""))
    made._start(["api.vip"])
    assert {row.name for row in made._rows} == {"api.vip.new", "api.vip.kept", "shop"}
    (asked,) = (row for row in made._rows if row.name == "shop")
    assert asked.interval == 2 * shop.interval
    assert not applied  # no pod has anything to ask
    made._file.close()
    told = history.read(tmp_path / "history.jsonl").instruments()
    assert told["shop"].data["interval"] == asked.interval


def test_no_two_rows_have_one_name_and_all_time_outs_are_below_a_second() -> None:
    rows = probes.rows(GROUND)
    assert len(named()) == len(rows)
    assert all(row.timeout < 1 and row.interval <= 0.2 for row in rows if row.question)


def test_every_question_says_what_it_asks() -> None:
    for name, question in probes.questions().items():
        assert question.summary, name
    assert set(probes.questions()) == {
        "api",
        "cluster",
        "dns",
        "etcd",
        "service",
        "vip",
        "watch",
        "writes",
    }


def test_without_workers_the_masters_pods_ask() -> None:
    assert {row.pod for row in probes.rows(WITHOUT_WORKERS) if row.pod} == {"m", "m2", "m3"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["api.vip"], {"api.vip.new", "api.vip.kept"}),
        (["vip.arp", "etcd.m"], {"vip.arp", "etcd.m"}),
        (["service.pod.w1"], {"service.pod.w1"}),
        (["write.lb"], {"write.lb.new", "final"}),
        (
            ["register"],
            {"register.vip.1", "register.vip.2", "register.lb.1", "register.lb.2", "final"},
        ),
        (["watch"], {"watch.vip", "watch.lb"}),
    ],
)
def test_words_choose_rows_and_writers_bring_the_reader(words: list[str], found: set[str]) -> None:
    assert {row.name for row in probes.rows(GROUND, words)} == found


@pytest.mark.parametrize("word", ["", "api.vi", "telepathy", "service.pod.m"])
def test_unknown_words_are_told(word: str) -> None:
    with pytest.raises(InputError, match="no probe"):
        probes.rows(GROUND, [word])


@pytest.mark.parametrize("name", ["k3s", "upstream"])
def test_the_agents_configuration_holds_all_it_needs(name: str) -> None:
    secrets = new_secrets("x")
    known = agent_config.identities(secrets, distributions.find(name))
    rows = [row for row in probes.rows(GROUND) if not row.pod]
    found = json.loads(json.dumps(agent_config.configuration(rows, known, attached=True)))
    assert {
        row["identity"] for row in found["questions"] + found["clients"] if "identity" in row
    } == set(found["identities"])
    assert all(
        "PRIVATE KEY" in row["key"] and "CERTIFICATE" in row["ca"]
        for row in found["identities"].values()
    )
    assert len(found["questions"]) + len(found["clients"]) == len(rows)
    assert found["attached"] is True


def test_the_agent_knows_every_word_of_its_configuration() -> None:
    source = (ROOT / "images" / "tools" / "probe" / "config.go").read_text()
    found = agent_config.configuration(probes.rows(GROUND))
    words = {*found, *(key for row in found["questions"] + found["clients"] for key in row)}
    assert [word for word in sorted(words) if f'`json:"{word}"`' not in source] == []


def test_pods_ask_from_their_node_without_secrets() -> None:
    config, daemons = manifests.askers(probes.rows(GROUND), "run1")
    assert set(config["data"]) == {"w1.json", "w2.json", "w3.json"}
    first = json.loads(config["data"]["w1.json"])
    assert [row["name"] for row in first["questions"]] == ["dns.pod.w1", "service.pod.w1"]
    assert first["output"] == "/var/lib/halab/probe/run1.jsonl"
    assert "PRIVATE" not in json.dumps(config)
    spec = daemons["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert manifests.askers(probes.rows(GROUND, ["api"]), "run1") == ()


def test_the_pods_image_is_the_one_in_the_table() -> None:
    assert versions.read(ROOT / "images").pods["toolbox"] == manifests.IMAGE
    for item in (
        *manifests.web(),
        *manifests.askers(probes.rows(GROUND), "run1"),
        *manifests.registers(),
    ):
        assert item["metadata"]["namespace"] == probe.SPACE


def test_the_agents_address_is_nobodys() -> None:
    assert agent_ip(TOPOLOGY) == "172.30.0.239"
    crowded = replace(
        TOPOLOGY,
        network=replace(
            TOPOLOGY.network, vip=TOPOLOGY.network.subnet[239], gateway=TOPOLOGY.network.subnet[238]
        ),
    )
    assert agent_ip(crowded) == "172.30.0.237"


SMALL = """version: 1
name: p
network: {{subnet: 172.30.0.32/28, vip: 172.30.0.43, gateway: 172.30.0.33{pool}}}
nodes: {{m: {{role: master, ip: 172.30.0.34}}, w1: {{role: worker, ip: 172.30.0.35}}}}
loadbalancer: {{ip: 172.30.0.40}}
"""


def test_a_small_subnet_has_an_address_for_the_agent_or_says_that_it_has_none() -> None:
    small = loader.parse(SMALL.format(pool=""), "f")
    pool = [str(ip) for ip in small.topology.service_addresses]
    assert pool == ["172.30.0.44", "172.30.0.45", "172.30.0.46"]
    assert agent_ip(small.topology) == "172.30.0.42"
    full = loader.parse(SMALL.format(pool=", pool: 172.30.0.32/28"), "f")
    assert "no address for the instrument" in " ".join(each.message for each in full.warnings)
    assert not [each for each in small.warnings if "instrument" in each.message]
    with pytest.raises(InputError, match="no free address for the instrument"):
        agent_ip(full.topology)


def test_addresses_become_nodes() -> None:
    assert vip.named(["02:42", "02:43"], {"02:42": "m"}) == ["m", "02:43"]


def test_clocks_of_one_kernel_are_one_and_others_are_compared() -> None:
    row = {"t": 100.0, "boot": "a"}
    assert offset(row, 105.0, "a") == 0.0
    assert offset(row, 105.0, "b") == 5.0
    assert offset({"t": 100.0, "boot": ""}, 105.0, "") == 5.0


def test_lines_become_events() -> None:
    event = shifted({"kind": "probe", "t": 110.5, "end": 110.6, "probe": "a", "ok": None}, -100.0)
    assert event == Event(10.5, "probe", {"end": 10.6, "probe": "a", "ok": None})
    assert next(iter(history.parse([event.line()]))) == event


M, X = "02:42:ac:1e:14:31", "02:42:ac:1e:14:99"


class SpokenDouble:
    """A double of a conversation with an agent."""

    def __init__(self, *chunks: tuple[bool, list[bytes]]) -> None:
        self.chunks = chunks

    def lines(self):
        yield from self.chunks

    def close(self) -> None:
        pass


def listened(*chunks: tuple[bool, list[bytes]]) -> tuple[Listener, list[Event]]:
    written: list[Event] = []
    listener = Listener(SpokenDouble(*chunks), 0.0, written.extend, lambda: {M: "m"})
    listener.join(10)
    return listener, written


def test_the_listener_names_holders_and_keeps_the_statistics() -> None:
    lines = [
        {
            "kind": "probe",
            "t": 1.0,
            "end": 1.1,
            "probe": "vip.arp",
            "ok": True,
            "value": [M, X],
            "detail": f"announced by {M}",
        },
        {
            "kind": "op",
            "t": 1.0,
            "end": 1.1,
            "client": "register.vip.1",
            "op": "read",
            "key": "r",
            "outcome": "ok",
        },
        {
            "kind": "watch",
            "t": 1.0,
            "client": "watch.lb",
            "probe": "watch.lb",
            "type": "RESUME",
            "rv": "7",
        },
        {"kind": "stats", "t": 2.0, "cpu": 0.1},
    ]
    listener, written = listened(
        (True, [json.dumps(line).encode() for line in lines]), (False, [b"oh"])
    )
    assert written[0].get("value") == ["m", X]
    assert written[0].get("detail") == "announced by m"
    assert listener.heard == {"vip.arp", "register.vip.1", "watch.lb"}
    assert listener.statistics["cpu"] == 0.1
    assert listener.last == 1.0
    assert (listener.complaints, listener.error, listener.alive) == ("oh", None, False)


class AgentDouble:
    """A double of the engine with one agent's container; without a `state` it is gone."""

    def __init__(self, **state: Any) -> None:
        self.state = state

    def stop(self, container: str, timeout_s: int) -> None:
        pass

    def inspect(self, container: str) -> dict[str, Any]:
        if not self.state:
            raise EngineError(f"no such container: {container}")
        return {"State": self.state}


STATS = json.dumps({"kind": "stats", "t": 2.0, "cpu": 0.1}).encode()


@pytest.mark.parametrize(
    ("state", "lines", "code", "told"),
    [
        ({"Running": False, "ExitCode": 0}, [STATS], 0, True),
        ({"Running": False, "ExitCode": 137}, [], 137, False),
        ({"Running": False, "ExitCode": 0}, [], 0, False),
        ({"Running": True, "ExitCode": 0}, [], None, False),
        ({}, [], None, False),
    ],
)
def test_how_the_agent_ended_is_in_the_history(
    tmp_path: Path,
    state: dict[str, Any],
    lines: list[bytes],
    code: int | None,
    told: bool,  # noqa: FBT001 (a value)
) -> None:
    lab = SimpleNamespace(engine=AgentDouble(**state))
    instruments = Instruments(lab, tmp_path)
    instruments._listener = listened((True, lines))[0]
    if told and code == 0:
        instruments._finish()
    else:
        with pytest.raises(LabError):
            instruments._finish()
    instruments._file.close()  # type: ignore[union-attr]
    ends = history.read(tmp_path / "history.jsonl").of("agent", state="end")
    assert [(event.get("code"), event.get("told")) for event in ends] == [(code, told)]


class OthersDouble(AgentDouble):
    """A double of the engine where another run's agent runs for some looks; keeps removals."""

    def __init__(self, looks: int, owner: str = "x") -> None:
        super().__init__()
        self.looks, self.lab, self.removed = looks, owner, list[str]()

    def labelled(self, label: str) -> tuple[list[str], list[str], list[str]]:
        return ["theirs"], [], []

    def owner(self, container: str) -> str:
        return self.lab

    def inspect(self, container: str) -> dict[str, Any]:
        self.looks -= 1
        return {"State": {"Running": self.looks >= 0}}

    def remove_container(self, container: str) -> None:
        self.removed.append(container)


def test_the_agent_of_a_run_that_goes_on_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "ALONE_S", 0.0)
    engine = OthersDouble(99)
    lab = SimpleNamespace(engine=engine, name="x", topology=TOPOLOGY)
    with pytest.raises(WaitTimeout, match="container theirs"):
        Instruments(lab, tmp_path).start()
    assert engine.removed == []


@pytest.mark.parametrize(("looks", "owner"), [(1, "x"), (99, "y")])
def test_the_agent_of_a_killed_run_is_awaited_and_another_labs_is_left(
    tmp_path: Path, looks: int, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = SimpleNamespace(engine=OthersDouble(looks, owner), name="x", topology=TOPOLOGY)
    started: list[str] = []
    monkeypatch.setattr(Instruments, "_clear", lambda _: started.append("clear"))
    monkeypatch.setattr(Instruments, "_start", lambda *_: started.append("start"))
    Instruments(lab, tmp_path).start()
    assert started == ["clear", "start"]


def test_an_agent_that_talks_nonsense_is_an_error() -> None:
    assert listened((True, [b"{"]))[0].error is not None


SPOKEN = {
    (
        "corosync",
        (
            "[TOTEM ] A processor failed, forming new configuration: "
            "token timed out (1000ms), waiting 1200ms for consensus."
        ),
    ): "token-lost",
    ("corosync", "[TOTEM ] A new membership (1.31) was formed. Members left: 1"): "membership",
    (
        "pacemaker-fenced",
        "notice: Operation 'off' [4] targeting m by m2 for pacemaker-controld.7@m2: OK (complete)",
    ): "fenced",
    (
        "pacemaker-controld",
        (
            "notice: Peer m was terminated (off) by m2 on behalf of pacemaker-controld.7@m2: "
            "OK | event=1"
        ),
    ): "fenced",
    (
        "pacemaker-controld",
        (
            "notice: Peer m was terminated (off) by m2 on behalf of pacemaker-controld.7@m2: "
            "No route to host"
        ),
    ): "",
    (
        "IPaddr2(FAILOVER-ADDR)",
        (
            "INFO: Adding inet address 172.30.20.50/32 "
            "with broadcast address 172.30.20.255 to device eth0"
        ),
    ): "vip-start",
    (
        "pacemaker-controld",
        "notice: Result of start operation for FAILOVER-ADDR on m3: OK",
    ): "vip-start",
    ("pacemaker-controld", "notice: Result of start operation for apiserver-health on m3: OK"): "",
    ("pacemaker-controld", "notice: State transition S_TRANSITION_ENGINE -> S_IDLE"): "dc-idle",
    ("etcd", '{"level":"info","msg":"raft.node: 1 elected leader 2 at term 3"}'): "leader",
    ("sh", "A new membership (1.31) was formed."): "",
}


@pytest.mark.parametrize(("who", "text"), SPOKEN)
def test_milestones(who: str, text: str) -> None:
    assert milestone(Entry(1.0, "m", who, f"{who}.service", text)) == SPOKEN[who, text]


@pytest.mark.parametrize(
    ("oldest", "wanted"),
    [
        ('{"__MONOTONIC_TIMESTAMP": "95000000"}', ""),
        ('{"__MONOTONIC_TIMESTAMP": "110000000"}', ""),
        ('{"__MONOTONIC_TIMESTAMP": "700000000"}', "journal of m: it begins 600 s late"),
        (
            'Journal file is truncated, ignoring file.\n{"__MONOTONIC_TIMESTAMP": "700000000"}',
            "journal of m: it begins 600 s late",
        ),
        ("", ""),
    ],
)
def test_a_journal_that_lost_lines_is_told(oldest: str, wanted: str) -> None:
    lines = [*oldest.splitlines(), '{"__MONOTONIC_TIMESTAMP": "990000000"}'] if oldest else []
    assert lost("m", lines, 100.0).split(";")[0] == wanted


def test_lines_that_a_journal_did_not_keep_are_told() -> None:
    def said(node: str, text: str, who: str = "systemd-journald") -> Entry:
        return Entry(1.0, node, who, "", text)

    found = [
        said("m2", "Suppressed 57250 messages from etcd.service"),
        said("m", "Suppressed 10 messages from k3s.service"),
        said("m", "Suppressed 5 messages from k3s.service"),
        said("m", "Suppressed 5 messages from k3s.service", "somebody"),
        said("m", "System Journal is 2M, max 256M, 254M free."),
    ]
    assert suppressed(found) == (
        "journal of m: 15 lines of k3s.service were too many at a time and are not in it",
        "journal of m2: 57250 lines of etcd.service were too many at a time and are not in it",
    )


def test_a_namespace_that_stays_says_why() -> None:
    message = "Some resources are remaining: configmaps. has 9 resource instances"
    condition = {"type": "NamespaceContentRemaining", "status": "True", "message": message}
    spaces = [
        [{"metadata": {"name": SPACE}, "status": {"conditions": [condition]}}],
        [{"metadata": {"name": SPACE}}],
        [],
    ]
    asked: list[str] = []
    told: list[str] = []

    class ClusterDouble:
        def get(self, path: str) -> dict[str, Any]:
            asked.append(path)
            return {
                "items": [
                    {"metadata": {"name": "default"}},
                    *(spaces[0] if len(asked) == 1 else spaces.pop(0)),
                ]
            }

        def request(self, verb: str, path: str, body: object) -> None:
            asked.append(f"{verb} {path} {body}")

    remove(cast("KubeApi", ClusterDouble()), told.append)
    assert [text for text in asked if text.startswith("DELETE")] == [
        f"DELETE /api/v1/namespaces/{SPACE} {{'propagationPolicy': 'Background'}}"
    ]
    assert told == [
        f"namespace {SPACE} is still there. {message}",
        f"namespace {SPACE} is still there",
    ]


def test_journals_become_events_and_a_time_line() -> None:
    rows = [
        {
            "__MONOTONIC_TIMESTAMP": "101500000",
            "SYSLOG_IDENTIFIER": "corosync",
            "MESSAGE": "[TOTEM ] A new membership (1.31) was formed. Members",
        },
        {
            "__MONOTONIC_TIMESTAMP": "99000000",
            "SYSLOG_IDENTIFIER": "corosync",
            "MESSAGE": "[TOTEM ] A new membership (1.2d) was formed. Members",
        },
        {"__MONOTONIC_TIMESTAMP": "101000000", "_COMM": "odd", "MESSAGE": [104, 105, 10, 255]},
        {"MESSAGE": "without a time"},
    ]
    found = list(entries("m", [*map(json.dumps, rows), '{"cut off']))
    assert [entry.who for entry in found] == ["corosync", "corosync", "odd"]
    assert [(event.t, event.get("what"), event.get("node")) for event in events(found, 100.0)] == [
        (1.5, "membership", "m")
    ]
    lines = timeline(found, 100.0).splitlines()
    assert len(lines) == 3
    assert lines[0].strip().startswith("-1.000000 m")
    assert "hi\\n" in lines[1]
