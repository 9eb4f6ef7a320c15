"""Targets: words become nodes, the same seed the same node, nonsense one clear error.

And the faults' table.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.base.errors import InputError
from lab.chaos import faults, lab_faults, targets
from lab.topology import loader

TOPOLOGY = loader.load(Path(__file__).parents[3] / "topologies" / "3m3w.yaml").topology


def status(leader: str = "m2", holders: tuple[str, ...] = ("m3",)) -> SimpleNamespace:
    """A double of a lab's status."""
    return SimpleNamespace(etcd_leader=leader, vip_holders=holders)


@pytest.mark.parametrize(
    ("word", "nodes"),
    [
        ("w2", ["w2"]),
        ("lb", ["lb"]),
        ("@leader", ["m2"]),
        ("@vip-holder", ["m3"]),
        ("@first-master", ["m"]),
        ("minority", ["m"]),
        ("majority", ["m2", "m3"]),
        ("role:worker", ["w1", "w2", "w3"]),
        ("role:loadbalancer", ["lb"]),
        ("all", ["m", "m2", "m3", "w1", "w2", "w3"]),
    ],
)
def test_words_become_nodes(word: str, nodes: list[str]) -> None:
    assert list(targets.resolve(word, TOPOLOGY, status, 1)) == nodes


def test_the_same_seed_gives_the_same_node() -> None:
    found = {seed: targets.resolve("@random-worker", TOPOLOGY, status, seed) for seed in range(20)}
    assert {names[0] for names in found.values()} == {"w1", "w2", "w3"}
    assert all(
        targets.resolve("@random-worker", TOPOLOGY, status, seed) == names
        for seed, names in found.items()
    )


@pytest.mark.parametrize("word", ["", "x", "@leadr", "w9", "role:bmw"])
def test_an_unknown_word_is_one_error(word: str) -> None:
    with pytest.raises(InputError):
        targets.resolve(word, TOPOLOGY, status, 1)


def test_a_target_that_means_no_node_now() -> None:
    with pytest.raises(InputError, match="no node now"):
        targets.resolve("@leader", TOPOLOGY, lambda: status(leader=""), 1)
    with pytest.raises(InputError, match="no node now"):
        targets.resolve("@vip-holder", TOPOLOGY, lambda: status(holders=()), 1)


def test_every_fault_explains_its_options() -> None:
    for name, fault in faults.all_faults().items():
        assert name == fault.name
        assert fault.summary
        assert all(option in fault.summary for option in fault.options), name


def test_unknown_faults_and_options_are_input_errors() -> None:
    with pytest.raises(InputError, match="crash"):
        lab_faults.find("crsh")
    with pytest.raises(InputError, match="percnt"):
        lab_faults.options_of(lab_faults.find("loss"), {"percnt": "5"})
