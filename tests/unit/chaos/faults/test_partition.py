from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faultdoubles import TOPOLOGY, FaultEngine, hit, site

from lab.chaos import wire
from lab.chaos.faults import partition
from lab.engine.commands import Result
from lab.topology import loader

FIVE = loader.load(Path(__file__).parents[4] / "topologies" / "5m2w.yaml").topology


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
