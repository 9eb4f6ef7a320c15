"""The model: what it answers, and that it comes back whole from the network's label."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.base.hashing import digest
from lab.topology.loader import load
from lab.topology.model import Role, Topology, from_json, to_json

if TYPE_CHECKING:
    from lab.topology.model import Topology


SHIPPED = sorted((Path(__file__).parents[3] / "topologies").glob("*.yaml"))


REFERENCE = next(path for path in SHIPPED if path.stem == "3m3w")


@pytest.fixture
def reference() -> Topology:
    return load(REFERENCE).topology


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_round_trip(path: Path) -> None:
    topology = load(path).topology
    text = to_json(topology)
    assert from_json(text) == topology
    assert to_json(from_json(text)) == text


def test_round_trip_keeps_what_is_not_default(tmp_path: Path) -> None:
    for name in ("k3s", "k3s.tar"):
        (tmp_path / name).write_text("x")
    sets = (
        "network.gateway=172.30.0.254",
        "kubernetes.distributions=[upstream]",
        "kubernetes.dns_forward=[9.9.9.9, 1.1.1.1]",
        "kubernetes.node_monitor_grace=1m",
        "ha.token=2.5s",
        "loadbalancer.name=front",
        "addons=[]",
        f"images.k3s_binary={tmp_path}/k3s",
        f"images.k3s_images={tmp_path}/k3s.tar",
    )
    topology = load(REFERENCE, sets).topology
    assert from_json(to_json(topology)) == topology
    assert (topology.ha.token_ms, topology.kubernetes.node_monitor_grace_ms) == (2500, 60_000)
    assert to_json(topology) != to_json(load(REFERENCE).topology)


def test_json_is_canonical(reference: Topology) -> None:
    text = to_json(reference)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert json.loads(text)["nodes"][0] == {"ip": "172.30.0.49", "name": "m", "role": "master"}


def test_a_topology_of_a_newer_halab_is_read_without_what_is_new(reference: Topology) -> None:
    data = json.loads(to_json(reference))
    for key in ("ha", "images"):
        data[key]["novelty"] = 1
    assert from_json(json.dumps(data)) == reference


@pytest.mark.parametrize("text", ["", "nonsense", "{}", '{"name": "x"}'])
def test_foreign_json_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        from_json(text)


def test_api_names(reference: Topology) -> None:
    assert reference.api_names == (
        *("m", "172.30.0.49", "m2", "172.30.0.48", "m3", "172.30.0.47"),
        *("172.30.0.50", "lb", "172.30.0.40", "127.0.0.1", "localhost", "10.43.0.1"),
    )


def test_the_reference_installation(reference: Topology) -> None:
    assert [(node.name, str(node.ip).rpartition(".")[2]) for node in reference.machines] == [
        ("m", "49"),
        ("m2", "48"),
        ("m3", "47"),
        ("w1", "41"),
        ("w2", "42"),
        ("w3", "43"),
        ("lb", "40"),
    ]
    assert [node.name for node in reference.masters] == ["m", "m2", "m3"]
    assert [node.name for node in reference.workers] == ["w1", "w2", "w3"]
    assert (reference.balancer.role, reference.node("lb")) == (
        Role.LOADBALANCER,
        reference.balancer,
    )
    with pytest.raises(KeyError):
        reference.node("m4")


def test_digest() -> None:
    assert digest("halab") == digest("halab") != digest("halab ")
    assert len(digest("")) == 12


def test_the_pool_is_the_last_28_without_what_is_used(topology: Topology) -> None:
    assert [str(ip) for ip in topology.service_addresses][
        :: len(topology.service_addresses) - 1
    ] == ["172.30.0.240", "172.30.0.254"]
    network = replace(topology.network, pool=IPv4Network("172.30.0.40/29"))
    assert [str(ip) for ip in replace(topology, network=network).service_addresses] == [
        f"172.30.0.{last}" for last in (44, 45, 46)
    ]
