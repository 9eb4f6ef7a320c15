"""Faults without a lab: the options they refuse, the rules they write, the answers they read.

The engine is a double.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from faultdoubles import TOPOLOGY, FaultEngine, hit, site

from lab.base.errors import HealFailed, InputError
from lab.chaos import faults, healing, targets, wire
from lab.chaos.faults import clock, disk, machine, partition, resources, traffic
from lab.chaos.healing import Healer
from lab.chaos.lab_faults import LabFaults
from lab.engine.commands import Result
from lab.engine.files import File
from lab.live import active_faults
from lab.live.active_faults import ActiveFault
from lab.topology import loader
from lab.topology.model import MachineSize

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite

FIVE = loader.load(Path(__file__).parents[3] / "topologies" / "5m2w.yaml").topology


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("partition", {"way": "up"}),
        ("partition", {"port": "ssh"}),
        ("partition", {"from": "nobody"}),
        ("partition", {"shape": "star"}),
        ("partition", {"shape": "ring", "from": "w1"}),
        ("partition", {"shape": "ring", "way": "out"}),
        ("loss", {"percent": "0"}),
        ("loss", {"percent": "101"}),
        ("latency", {"delay": "soon"}),
        ("latency", {"jitter": "-1ms"}),
        ("latency", {"means": "magic"}),
        ("corrupt", {"percent": "0"}),
        ("reorder", {"percent": "x"}),
        ("rate", {"rate": "1; rm"}),
        ("cpu", {"cores": "0"}),
        ("memory", {"spare": "1g"}),
        ("disk-slow", {"fsync": "x"}),
        ("clock-skew", {"by": "60"}),
        ("clock-skew", {"by": "1s"}),
        ("clock-skew", {"unit": "corosync"}),
        ("service-kill", {"unit": "etcd", "whom": "some"}),
        ("bmc-unreachable", {"device": "eth0"}),
        ("bmc-unreachable", {"device": "a b"}),
        ("nic-down", {"device": "a;b"}),
        ("nic-down", {"device": "eth7"}),
        ("service-stop", {}),
    ],
)
def test_a_bad_option_is_said_before_anything_changes(fault: str, options: dict[str, str]) -> None:
    engine = FaultEngine()
    assert faults.find(fault).check(site(engine=engine), {**faults.find(fault).options, **options})
    assert not [line for line in engine.asked if " add " in line or "systemd-run" in line]


def test_peers_by_words() -> None:
    def names(words: str, group: tuple[str, ...] = ("m",)) -> list[str]:
        return [node.name for node in partition.peers(site(group=group), words)]

    assert names("all") == sorted(node.name for node in TOPOLOGY.machines if node.name != "m")
    assert names("masters,w1") == ["m2", "m3", "w1"]
    assert names("majority") == ["m2", "m3"]
    assert "w1" not in names("rest", ("m", "w1"))
    assert names("nobody") == []


@pytest.mark.parametrize("topology", [TOPOLOGY, FIVE])
def test_in_a_ring_all_hear_a_majority_and_no_two_the_same(topology: Any) -> None:
    names = [node.name for node in topology.masters]
    heard = {name: frozenset(names) - set(partition.unheard(names, name)) for name in names}
    assert all(
        name in majority and len(majority) == len(names) // 2 + 1
        for name, majority in heard.items()
    )
    assert len(set(heard.values())) == len(names)


def test_a_ring_only_closes_ears() -> None:
    place = site("m2")
    fault = partition.Partition()
    options = {**fault.options, "shape": "ring"}
    assert not fault.check(place, options)
    before = fault.prepare(place, options)
    assert before["way"] == "in"
    rules = fault.rules(place, hit("partition", before, shape="ring"))
    assert "egress" not in rules
    assert "172.30.0.47" in rules  # m3: after m2 in the file, before it in the ring
    assert "172.30.0.49" not in rules
    assert "ring" in fault.check(site("w1"), options)


def test_one_way_and_one_port() -> None:
    place, fault = site(), partition.Partition()
    options = {**fault.options, "from": "masters", "way": "out", "port": "etcd"}
    rules = fault.rules(place, hit("partition", fault.prepare(place, options), **options))
    assert "ingress" not in rules
    assert "tcp dport {2379,2380}" in rules
    assert "arp" not in rules


def test_all_counters_are_added_up() -> None:
    text = (
        "ip saddr 1 counter packets 3 bytes 9 drop\narp saddr ip 1 counter packets 2 bytes 9 drop"
    )
    assert wire.dropped(site(), text) == "5 packets dropped at m"
    assert wire.dropped(site(), "counter packets 0 bytes 0 drop") == ""


def test_a_loss_on_a_quiet_node_is_shown_by_questions_of_its_own() -> None:
    engine = FaultEngine({"nft -f -": Result(0, "counter packets 3 bytes 252 drop")})
    place, fault, one = site("w1", engine), partition.Loss(), hit("loss")
    assert "3 packets dropped" in fault.inject(place, one)
    assert "3 packets dropped" in fault.evidence(place, one)
    others = {str(node.ip) for node in TOPOLOGY.machines if node.name != "w1"}
    assert all(others <= set(line.split()) for line in engine.asked)


@pytest.mark.parametrize(
    ("word", "value"),
    [("500us", 0.5), ("100ms", 100), ("1.5s", 1500), ("5", None), ("-1s", None), ("1m", None)],
)
def test_times_of_tc(word: str, value: float | None) -> None:
    assert traffic.milliseconds(word) == value


def test_latency_takes_the_means_that_are_there_and_must_show_late_pings() -> None:
    ping = "rtt min/avg/max/mdev = 0.1/{}/0.3/0.0 ms"
    engine = FaultEngine(
        {
            "netem delay": Result(1, "Error: Specified qdisc kind is unknown."),
            "ping -n": Result(0, ping.format("0.2")),
        }
    )
    place, fault = site(engine=engine), faults.find("latency")
    assert fault.missing(place) == ""
    before = fault.prepare(place, fault.options)
    assert before["means"] == "delay"
    one = hit("latency", before)
    assert fault.evidence(place, one) == ""
    engine.answers["ping -n"] = Result(0, ping.format("100.4"))
    assert "0.2 ms before, 100.4 ms now" in fault.evidence(place, one)
    assert fault.evidence(place, one).startswith("halab-delay")
    engine.answers = {"netem delay": Result(1, "Unknown qdisc"), "NFQUEUE": Result(1, "no NFQUEUE")}
    assert "netem" in fault.missing(place)
    assert "NFQUEUE" in fault.missing(place)


def test_slow_is_what_etcd_says_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "etcd_disk_wal_fsync_duration_seconds_{} {}"
    told = iter([(10, 0.1), (14, 1.1), (14, 1.1), (14, 1.1)])
    monkeypatch.setattr(disk.time, "sleep", lambda _: None)

    class Etcd(FaultEngine):
        def run(self, *_: Any, **__: Any) -> Result:
            count, total = next(told)
            return Result(0, line.format("sum", total) + "\n" + line.format("count", count))

    place = site(engine=Etcd())
    assert disk.mean_fsync(place, 1) == pytest.approx(250)
    assert disk.mean_fsync(place, 1) is None


def test_what_was_powered_on_anew_needs_no_mending() -> None:
    for name in (
        "partition",
        "latency",
        "disk-full",
        "clock-skew",
        "service-stop",
        "vip-doubled",
        "rate",
        "bmc-unreachable",
        "nic-down",
    ):
        engine = FaultEngine()
        faults.find(name).heal(
            site(engine=engine),
            hit(name, {"started": "earlier", "means": "delay", "device": "made"}, unit="etcd"),
        )
        # Of the VIP's holder alone something is asked, whoever claimed it: to say where it is.
        assert [words for words in engine.asked if "arping" not in words] == [], name
        engine.containers["halab-x-m"].state = "exited"
        faults.find(name).heal(site(engine=engine), hit(name, {"started": "then"}, unit="etcd"))


def test_a_record_of_a_node_that_is_off_is_emptied() -> None:
    engine = FaultEngine(state="exited")
    place = site(engine=engine)
    active_faults.clear(engine, place.node, [hit("crash")])
    assert list(engine.containers["halab-x-m"].files) == ["/var/lib/halab/faults/00c0ffee.json"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T00:00:00.123456789Z", 0.123456789),
        ("", None),
    ],
)
def test_the_engines_time(word: str, value: float | None) -> None:
    assert machine.seconds(word) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("word", "value"), [("+60s", 60), ("-5m", -300), ("24h", 86400), ("60", None), ("1d", None)]
)
def test_skews(word: str, value: int | None) -> None:
    assert clock.seconds(word) == value


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("service-kill", {}, "kill --signal=SIGKILL --kill-whom=main containerd"),
        ("service-kill", {"whom": "all"}, "kill --signal=SIGKILL --kill-whom=all containerd"),
        ("service-hang", {}, "kill --signal=SIGSTOP --kill-whom=all containerd"),
        ("service-stop", {}, "stop containerd"),
    ],
)
def test_a_killed_daemon_leaves_its_children(
    fault: str, options: dict[str, str], words: str
) -> None:
    engine = FaultEngine({"is-active": Result(0, "active"), "MainPID": Result(0, "7")})
    place, found = site(engine=engine), faults.find(fault)
    given = {**found.options, "unit": "containerd", **options}
    assert found.check(place, given) == ""
    found.inject(place, hit(fault, found.prepare(place, given), **given))
    assert engine.asked[-1] == f"systemctl {words}"


def test_memory_reads_both_kinds_of_cgroups() -> None:
    one = "1000\ntotal_inactive_file 300\n"
    two = "2000\ninactive_file 500\n"
    for text, used in ((one, 700), (two, 1500), ("", 0)):
        assert (
            resources.Memory()._used(site(engine=FaultEngine({"memory.current": Result(0, text)})))
            == used
        )


class LimitedEngine(FaultEngine):
    """An engine on 8 GiB whose node m has a limit of memory; `limits` are those that were set."""

    def __init__(self, memory: int) -> None:
        super().__init__({"memory.current": Result(0, str(100 * resources.MIB))})
        self.about["MemTotal"] = 8 * 1024 * resources.MIB
        self.containers["halab-x-m"].host = {"Memory": memory, "MemorySwap": memory}
        self.limits: list[dict[str, int]] = []

    def limit(self, container: str, **limits: int) -> None:
        assert container == "halab-x-m"
        self.limits.append(limits)


def test_memory_stays_within_a_nodes_own_limit_and_restores_it() -> None:
    own = 512 * resources.MIB
    node = replace(TOPOLOGY.node("m"), size=MachineSize(memory=own))
    limited = replace(TOPOLOGY, nodes=(node, *TOPOLOGY.nodes[1:]))
    engine, fault, options = LimitedEngine(own), resources.Memory(), {"spare": "999m"}
    place = site(engine=engine, topology=limited)
    assert fault.check(place, options) == ""
    active = hit("memory", fault.prepare(place, options), **options)
    fault.inject(place, active)
    fault.heal(place, active)
    assert engine.limits == [{"mem_limit": own, "memswap_limit": own}] * 2
    # Another limit than its own is a fault's.
    assert "has such a fault already" in fault.check(site(engine=engine), options)


def test_several_targets_by_commas_each_once() -> None:
    assert targets.resolve("m,role:worker,w1", TOPOLOGY, lambda: pytest.fail("not asked"), 1) == (
        "m",
        "w1",
        "w2",
        "w3",
    )


def healer_at(place: FaultSite) -> Healer:
    """A healer of a lab whose every node is this place, and which does not pause."""
    lab: Any = SimpleNamespace(lab=SimpleNamespace(name="x"), site=lambda _: place)
    return Healer(lab, again_s=0)


def test_a_record_of_a_fault_that_is_not_known_is_said_and_the_others_are_healed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    healed: list[str] = []
    strange = ActiveFault(id="beef", fault="meteor", node="m")
    monkeypatch.setattr(machine.Hang, "heal", lambda _self, _site, hit: healed.append(hit.fault))
    monkeypatch.setattr(healing.active_faults, "read", lambda _engine, _nodes: (strange,))
    monkeypatch.setattr(
        healing.active_faults,
        "clear",
        lambda _engine, _node, hits: healed.extend(f"cleared {hit.fault}" for hit in hits),
    )
    healer = healer_at(site())
    with pytest.raises(HealFailed, match=r"meteor on .* knows no such fault"):
        healer.heal([strange, hit("hang")])
    assert healed == ["hang", "cleared hang"]


def test_masters_that_are_one_cluster_again_write_their_attributes_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that was frozen for long had cleared the others': none of them could have the VIP."""
    calls: list[tuple[str, ...]] = []

    class Master:
        """A double of a master: it notes what it is told to run."""

        def __init__(self, name: str) -> None:
            self.name, self.running = name, name != "m"

        def run(self, argv: tuple[str, ...], **_: float) -> None:
            calls.append((self.name, *argv))

    lab: Any = SimpleNamespace(name="x", topology=TOPOLOGY, engine=None, node=Master)
    monkeypatch.setattr(healing.active_faults, "clear", lambda *_: None)
    monkeypatch.setattr(Healer, "_settle", lambda *_: True)
    healer = Healer(cast("Any", SimpleNamespace(lab=lab)), again_s=0)
    healer.rejoin([ActiveFault(id="a", fault="hang", node="w1")])
    assert calls == []  # no master was hit
    healer.rejoin([ActiveFault(id="b", fault="hang", node="m")])
    assert calls == [("m2", "attrd_updater", "--refresh")]


RECORD = {
    "id": "00c0ffee",
    "fault": "loss",
    "node": "m",
    "options": {"percent": "5"},
    "since": 7.5,
    "before": {"started": "then"},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (json.dumps(RECORD), ActiveFault(**RECORD)),
        (json.dumps({**RECORD, "severity": 3, "by": ["x"]}), ActiveFault(**RECORD)),
        (json.dumps({"fault": "loss"}), ActiveFault(id="00c0ffee", fault="loss", node="m")),
        ('{"fault": "loss", "since": null}', ActiveFault(id="00c0ffee", fault="loss", node="m")),
        ('{"fault": "loss", "options": [1]}', ActiveFault(id="00c0ffee", fault="loss", node="m")),
        ("[]", ActiveFault(id="00c0ffee", fault="", node="m")),
        ("{", ActiveFault(id="00c0ffee", fault="", node="m")),
        (b"\xff", ActiveFault(id="00c0ffee", fault="", node="m")),
    ],
)
def test_records_of_another_halab_are_read(text: str | bytes, found: ActiveFault) -> None:
    content = text if isinstance(text, bytes) else text.encode()
    engine = FaultEngine()
    path = f"{active_faults.FOLDER}/00c0ffee.json"
    engine.put("halab-x-m", [File(path=path, content=content)])
    assert active_faults.read(engine, [site(engine=engine).node]) == (found,)


def test_what_a_record_lacks_for_healing_has_its_default_or_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = FaultEngine({"systemctl show": Result(0, "7")})
    monkeypatch.setattr(healing.active_faults, "clear", lambda *_: None)
    healer = healer_at(site(engine=engine))
    bare = {"id": "00c0ffee", "node": "m"}
    with pytest.raises(HealFailed, match=r"clock-skew on m .* its record lacks .*pid"):
        healer.heal([ActiveFault(fault="clock-skew", **bare)])
    assert any(line.endswith("MainPID kube-apiserver") for line in engine.asked)
    healer.heal([ActiveFault(fault="bmc-unreachable", **bare)])


@pytest.mark.parametrize(
    ("status", "others", "asked"),
    [("running", (), []), ("exited", (), ["start halab-x-m"]), ("exited", ("crash",), [])],
)
def test_a_machine_that_was_shot_meanwhile_is_powered_on_unless_another_fault_keeps_it_off(
    monkeypatch: pytest.MonkeyPatch, status: str, others: tuple[str, ...], asked: list[str]
) -> None:
    engine = FaultEngine(state=status)
    mine = hit("loss")
    monkeypatch.setattr(type(faults.find("loss")), "heal", lambda *_: None)
    monkeypatch.setattr(
        healing.active_faults,
        "read",
        lambda _engine, _nodes: (
            mine,
            *(ActiveFault(id="beef", fault=name, node="m") for name in others),
        ),
    )
    monkeypatch.setattr(healing.active_faults, "clear", lambda *_: None)
    healer_at(site(engine=engine)).heal([mine])
    assert engine.asked == asked


def test_healing_one_by_name_or_id(monkeypatch: pytest.MonkeyPatch) -> None:
    both = (hit("hang"), ActiveFault(id="beef", fault="loss", node="w1"))
    monkeypatch.setattr(LabFaults, "active", lambda _: both)
    lab = LabFaults(type("LabDouble", (), {"name": "x"})())  # type: ignore[arg-type]
    assert lab.chosen("loss") == (both[1],)
    assert lab.chosen("00c0ffee") == (both[0],)
    with pytest.raises(InputError, match="crash"):
        lab.chosen("crash")


def test_an_interface_comes_back_with_the_routes_that_the_kernel_drops() -> None:
    up = (
        "eth0@if9  UP  02:42:ac:1e:00:31 <BROADCAST,MULTICAST,UP,LOWER_UP>\n"
        "default via 172.30.0.1 linkdown\n"
        "172.30.0.0/24 proto kernel scope link src 172.30.0.49\n"
        "10.42.1.0/24 via 172.30.0.41 onlink\n"
    )
    engine = FaultEngine({"ip -br link": Result(0, up)})
    place, fault = site(engine=engine), faults.find("nic-down")
    assert fault.check(place, fault.options) == ""
    before = fault.prepare(place, fault.options)
    assert before == {"routes": "default via 172.30.0.1\n10.42.1.0/24 via 172.30.0.41 onlink"}
    active = hit("nic-down", before)
    fault.inject(place, active)
    assert engine.asked[-1] == "ip link set eth0 down"
    assert fault.evidence(place, active) == "", "it is still up"
    engine.answers["ip -br link"] = Result(0, "eth0@if9  DOWN  02:42:ac:1e:00:31 <BROADCAST>\n")
    assert "eth0 of m is DOWN" in fault.evidence(place, active)
    assert "down already" in fault.check(place, fault.options)
    fault.heal(place, active)
    assert engine.asked[-1].endswith(
        " nic-up eth0 default via 172.30.0.1 10.42.1.0/24 via 172.30.0.41 onlink"
    )
