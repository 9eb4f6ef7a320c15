"""What the engine refuses, and what halab makes of it: overlapping networks, taken ports."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from lab.base.errors import PortTaken, SubnetTaken
from lab.base.progress import Silent
from lab.engine.spec import ContainerSpec, NetworkSpec
from lab.host import network as hostnetwork
from lab.lifecycle import desired_state, networks, plan
from lab.lifecycle.apply import Applier
from lab.nodes import distributions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Ground

    from lab.topology.model import Topology

MARK = {"halab.test": "docker"}


@pytest.fixture
def appliers(ground: Ground) -> Iterator[list[Applier]]:
    """Hands for three labs; what they made is taken back."""
    made = [Applier(ground.engine, Silent(), f"test-docker-{number}") for number in range(3)]
    yield made
    for applier in made:
        applier.take_back()


def test_labs_begun_at_once_get_a_management_network_each(
    ground: Ground, appliers: list[Applier]
) -> None:
    begun: list[Topology] = []
    for number, applier in enumerate(appliers):
        own = IPv4Network(f"172.30.251.{64 * number}/26")
        network = replace(ground.topology.network, subnet=own, gateway=own[1], management_open=True)
        topology = replace(ground.topology, name=f"test-docker-{number}", network=network)
        observed = applier.engine.observe(topology.name)
        begun.append(hostnetwork.settled(topology, applier.engine, observed))
    assert len({topology.network.management for topology in begun}) == 1  # they saw the same
    together, got = threading.Barrier(len(begun)), dict[str, IPv4Network]()

    def make(topology: Topology, applier: Applier) -> None:
        tags = dict.fromkeys((*ground.tags, "upstream"), "x")
        wanted = desired_state.desired(topology, distributions.find("upstream"), tags, 0)
        steps = plan.start(wanted, applier.engine.observe(topology.name))
        together.wait(60)
        got[topology.name] = networks.make(topology, "upstream", steps, applier).network.management

    threads = [
        threading.Thread(target=make, args=pair) for pair in zip(begun, appliers, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(set(got.values())) == len(begun)
    held = {name: IPv4Network(subnet) for subnet, name in ground.engine.subnets().items()}
    for name, management in got.items():
        assert held[f"halab-{name}-management"] == management
        observed = ground.engine.observe(name)
        settled = hostnetwork.settled(begun[0], ground.engine, observed)
        assert settled.network.management == management


def test_an_overlapping_network_is_told_as_such(ground: Ground) -> None:
    spec = NetworkSpec(name="halab-test-docker-other", subnet=str(ground.topology.network.subnet))
    with pytest.raises(SubnetTaken, match="overlap"):
        ground.engine.create_network(spec, MARK)


def test_a_port_that_is_taken_is_told_as_such(ground: Ground) -> None:
    network = ground.topology.network.subnet
    names = [f"halab-test-docker-{word}" for word in ("one", "two")]
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for name, ip in zip(names, (network[31], network[32]), strict=True):
            spec = ContainerSpec(
                name=name, hostname=name, image=ground.tags["loadbalancer"], machine=False,
                network=ground.network, ip=str(ip), ports={6443: port},
            )  # fmt: skip
            ground.engine.create_container(spec, MARK, privileged=False)
        try:
            with pytest.raises(PortTaken):
                ground.engine.start(names[0])
            other.close()
            ground.engine.start(names[0])
            with pytest.raises(PortTaken):
                ground.engine.start(names[1])
        finally:
            for name in names:
                ground.engine.remove_container(name)
