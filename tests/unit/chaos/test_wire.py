"""What is dropped at a machine's wire: nftables' rules, and the packet filter's programs.

The programs run here, on frames.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address

import pytest
from faultdoubles import FaultEngine, hit, site

from lab.base.errors import CommandFailed
from lab.chaos import faults, wire
from lab.chaos.faults import machine
from lab.chaos.faults import partition as network
from lab.chaos.wire import GO_ON, SHOT, Drop
from lab.engine.commands import Result
from lab.engine.spec import mac_of

OURS, PEER, OTHER, VIP = "172.30.0.49", "172.30.0.48", "172.30.0.41", "172.30.0.50"
NO_NFT = {"hook egress": Result(1, "Error: Could not process rule: Operation not supported")}


def run(program: str, frame: bytes) -> int:
    """A double of the kernel's packet filter (bpf(8)): what a program returns for a frame."""
    size, *lines = program.split(",")
    code = [tuple(map(int, line.split())) for line in lines]
    assert len(code) == int(size)
    loads = {0x20: (0, 4), 0x28: (0, 2), 0x30: (0, 1), 0x48: (1, 2)}
    a = x = at = 0
    while True:
        op, yes, no, k = code[at]
        at += 1
        if op in loads:
            relative, width = loads[op]
            where = k + relative * x
            if where + width > len(frame):
                return 0  # the kernel ends a program that reads past the packet: TC_ACT_OK
            a = int.from_bytes(frame[where : where + width], "big")
        elif op == 0xB1:
            x = 4 * (frame[k] & 0xF)
        elif op == 0x15:
            at += yes if a == k else no
        elif op == 0x45:
            at += yes if a & k else no
        elif op == 0x06:
            return k
        else:
            raise AssertionError(op)


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ether(src: str, dst: str, kind: int, payload: bytes) -> bytes:
    return mac(dst) + mac(src) + kind.to_bytes(2, "big") + payload


def packet(
    src: str,
    dst: str,
    protocol: int = 6,
    sport: int = 40000,
    dport: int = 80,
    options: int = 0,
    offset: int = 0,
    wires: tuple[str, str] = ("02:00:00:00:00:01", "02:00:00:00:00:02"),
) -> bytes:
    head = (
        bytes([0x45 + options, 0, 0, 40, 0, 0]) + offset.to_bytes(2, "big") + bytes([64, protocol])
    )
    head += b"\0\0" + IPv4Address(src).packed + IPv4Address(dst).packed + b"\0" * (4 * options)
    ports = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    return ether(*wires, 0x0800, head + ports + b"\0" * 16)


def arp(sender: str, target: str) -> bytes:
    body = bytes([0, 1, 8, 0, 6, 4, 0, 1]) + b"\2" * 6 + IPv4Address(sender).packed
    body += b"\0" * 6 + IPv4Address(target).packed
    return ether("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", 0x0806, body)


def falls(drops: list[Drop], way: str, frame: bytes) -> bool:
    """Whether a frame that goes this way is dropped; every program must return a known code."""
    said = [run(each, frame) for drop in drops if drop.way == way for each in drop.programs()]
    assert set(said) <= {SHOT, GO_ON, 0}
    return SHOT in said


def partition(name: str = "m", **options: str) -> list[Drop]:
    place, fault = site(name), network.Partition()
    given = {**fault.options, **options}
    assert fault.check(place, given) == ""
    return fault.drops(place, hit("partition", fault.prepare(place, given), **given))


def test_one_instruction_drops_all() -> None:
    for drop in (Drop("in"), Drop("out")):
        assert drop.nft() == "counter drop"
        assert [run(each, b"") for each in drop.programs()] == [SHOT]
    assert run(wire.EVERYTHING, b"x") == SHOT


def test_a_partition_by_address_wire_and_arp() -> None:
    drops = partition(**{"from": "m2,w1"})
    for way, src, dst in (("in", PEER, OURS), ("out", OURS, PEER)):
        assert falls(drops, way, packet(src, dst))
        assert falls(drops, way, packet(src, dst, options=3))
        assert falls(drops, way, arp(src, dst))
        assert not falls(drops, way, packet(dst, src)), "answers go the other way"
    assert not falls(drops, "in", packet("172.30.0.42", OURS))
    assert not falls(drops, "in", arp("172.30.0.42", OURS))
    known = (mac_of(PEER), mac_of(OURS))
    assert falls(drops, "in", packet(VIP, OURS, wires=known)), "the VIP's holder is known by wire"
    assert falls(drops, "out", packet(OURS, "10.42.0.9", wires=(known[1], known[0])))
    assert not falls(drops, "in", packet(VIP, OURS, wires=("02:00:00:00:00:07", known[1])))
    assert not falls(drops, "out", arp(OURS, VIP)), "m3 may have it"


@pytest.mark.parametrize(("name", "words"), [("m", "all"), ("m", "masters"), ("w1", "masters")])
def test_the_vip_is_dropped_where_its_holder_is_a_peer_whatever_its_wire(
    name: str, words: str
) -> None:
    drops = partition(name, **{"from": words})
    strange = ("02:00:00:00:00:07", "02:00:00:00:00:08")
    for wires in (strange, strange[::-1]):
        assert falls(drops, "in", packet(VIP, OURS, wires=wires))
        assert falls(drops, "out", packet(OURS, VIP, wires=wires))
    assert falls(drops, "out", arp(OURS, VIP))
    assert falls(drops, "in", arp(VIP, OURS))
    if words == "masters":
        # A worker's question to the VIP that this master holds itself is answered.
        assert not falls(drops, "in", packet("172.30.0.42", VIP))
        assert not falls(drops, "out", packet(VIP, "172.30.0.42"))


def test_a_partition_of_ports() -> None:
    drops = partition(**{"from": "m2", "port": "etcd", "way": "in"})
    for port in (2379, 2380):
        assert falls(drops, "in", packet(PEER, OURS, dport=port))
        assert falls(drops, "in", packet(PEER, OURS, sport=port, options=2))
    assert not falls(drops, "in", packet(PEER, OURS, dport=443))
    assert not falls(drops, "in", packet(PEER, OURS, dport=2379, protocol=17))
    assert not falls(drops, "in", packet(PEER, OURS, dport=2379, offset=0x0010)), "no port in it"
    assert falls(drops, "in", packet(PEER, OURS, dport=2379, offset=0x4000)), "may not fragment"
    assert not falls(drops, "in", arp(PEER, OURS))
    assert not falls(drops, "out", packet(OURS, PEER, dport=2379))
    udp = partition(**{"from": "m2", "port": "corosync"})
    assert falls(udp, "out", packet(OURS, PEER, dport=5405, protocol=17))


def test_both_means_say_the_same_of_each_rule() -> None:
    drop = Drop("in", "ip", "saddr", (PEER, OTHER), "tcp", "dport", (2379, 2380))
    assert drop.nft() == f"ip saddr {{{PEER},{OTHER}}} tcp dport {{2379,2380}} counter drop"
    assert len(drop.programs()) == 4
    assert Drop("out", "arp", "daddr", (PEER,)).nft() == f"arp daddr ip {{{PEER}}} counter drop"
    text = wire.batch([drop, Drop("out")])
    lines = text.splitlines()
    assert len(lines) == 5
    for line in lines:
        shape = (
            r'filter add dev eth0 (in|e)gress protocol all pref 6683 bpf da bytecode "\d+,[\d ,]+"'
        )
        assert re.fullmatch(shape, line), line


def test_a_jump_is_never_longer_than_the_language_allows() -> None:
    for drop in partition(port="etcd") + partition():
        for each in drop.programs():
            assert all(int(n) < 256 for line in each.split(",")[1:] for n in line.split()[1:3])


def test_means_are_chosen_by_what_the_kernel_has() -> None:
    both, old = site(), site(engine=FaultEngine(NO_NFT))
    neither = site(engine=FaultEngine({**NO_NFT, "clsact": Result(2, "Error: unknown qdisc")}))
    assert (wire.missing(both), wire.missing(old)) == ("", "")
    assert "Linux 5.16" in wire.missing(neither)
    assert "unknown qdisc" in wire.missing(neither)
    assert (wire.chosen(both, "auto"), wire.chosen(old, "auto")) == ("nft", "tc")
    assert (wire.chosen(both, "tc"), wire.chosen(old, "nft")) == ("tc", "nft")
    assert "5.16" in wire.refused(old, "nft")
    assert "means=x" in wire.refused(both, "x")
    on = {"tc qdisc show dev eth0": Result(0, "qdisc clsact ffff: parent ffff:fff1")}
    assert "heal that first" in wire.refused(site(engine=FaultEngine({**NO_NFT, **on})), "auto")
    assert wire.refused(site(engine=FaultEngine(on)), "auto") == ""


@pytest.mark.parametrize("name", ["partition", "bmc-unreachable", "power-cut"])
def test_faults_at_the_wire_say_what_is_lacking_and_act_by_tc_where_it_is(name: str) -> None:
    fault = faults.find(name)
    answers = {
        "ls /sys/class/net": Result(0, "eth0 mgmt0"),
        "addr show dev mgmt0": Result(0, "2: mgmt0 inet 172.31.0.12/24 scope"),
    }
    lacking = {**NO_NFT, "clsact": Result(1, "no"), **answers}
    assert "5.16" in fault.missing(site(engine=FaultEngine(lacking)))
    engine = FaultEngine({**NO_NFT, **answers})
    place = site(engine=engine)
    assert fault.missing(place) == ""
    assert fault.check(place, fault.options) == ""
    before = fault.prepare(place, fault.options)
    assert before["means"] == "tc"
    engine.asked.clear()
    fault.inject(place, hit(name, before))
    assert any("clsact" in line for line in engine.asked)
    assert not any("nft -f" in line or line.startswith("nft") for line in engine.asked)


def test_what_clsact_dropped_is_read() -> None:
    text = (
        "qdisc tbf 1a1b: root refcnt 2 rate 1Mbit\n Sent 84 bytes 2 pkt (dropped 7, overlimits 0)\n"
        "qdisc clsact ffff: parent ffff:fff1 \n Sent 84 bytes 2 pkt (dropped {}, overlimits 0)\n"
    )
    assert wire.dropped(site(), text.format(2)) == "2 packets dropped at m"
    assert wire.dropped(site(), text.format(0)) == ""


def test_a_power_cut_that_never_killed_is_lifted_and_shown_before_its_record_goes() -> None:
    engine = FaultEngine()
    place, one = site(engine=engine), hit("power-cut", {"started": "then"})
    machine.PowerCut().heal(place, one)
    assert any(line.endswith("remove-drops halab_dark eth0 1") for line in engine.asked)
    assert engine.asked[-1] == "start halab-x-m"
    stays = site(engine=FaultEngine({"halab_dark": Result(1, "table netdev halab_dark { }")}))
    with pytest.raises(CommandFailed, match="halab_dark"):
        machine.PowerCut().heal(stays, one)
    # One that was powered on since has a new network: nothing is asked of it.
    engine.asked.clear()
    machine.PowerCut().heal(place, hit("power-cut", {"started": "before"}))
    assert engine.asked == ["start halab-x-m"]
