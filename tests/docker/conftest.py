"""Single images, on testcontainers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import the_double
from machines import LABEL, Machine

from lab.base.errors import LabError
from lab.engine.client import connect
from lab.engine.fitness import privileged
from lab.images.sources import sources_for, tags
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.engine.client import Engine
    from lab.topology.model import Topology

SUBNET = "172.30.250"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/docker" in str(item.path):
            item.add_marker(pytest.mark.docker)


@dataclass(frozen=True)
class Ground:
    """An engine, the images' tags, and a network of the tests' own."""

    engine: Engine
    tags: dict[str, str]
    privileged: bool
    network: str
    topology: Topology


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    try:
        connected = connect()
    except LabError as error:
        pytest.skip(f"no container engine: {error.message}")
    known = tags(sources_for(connected))
    missing = [
        tag
        for word, tag in known.items()
        if word in {"upstream", "loadbalancer", "bmc"} and not connected.has_image(tag)
    ]
    if missing:
        pytest.skip(f"images are not built ({', '.join(missing)}): `halab images build`")
    topology = loader.load(Path(__file__).parents[2] / "topologies" / "3m3w.yaml").topology
    network = replace(
        topology.network,
        subnet=IPv4Network(f"{SUBNET}.0/24"),
        vip=IPv4Address(f"{SUBNET}.50"),
        gateway=IPv4Address(f"{SUBNET}.1"),
    )
    nodes = tuple(
        replace(node, ip=IPv4Address(f"{SUBNET}.{str(node.ip).rsplit('.', 1)[1]}"))
        for node in topology.nodes
    )
    balancer = replace(topology.loadbalancer, ip=IPv4Address(f"{SUBNET}.40"))
    topology = replace(topology, network=network, nodes=nodes, loadbalancer=balancer)
    import docker

    client = docker.from_env()
    _clear(client)  # what a killed run left has our subnet
    pool = docker.types.IPAMPool(subnet=f"{SUBNET}.0/24", gateway=f"{SUBNET}.1")
    client.networks.create(
        "halab-test-docker", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels=LABEL
    )
    try:
        yield Ground(
            connected,
            known,
            privileged(connected, known["loadbalancer"]),
            "halab-test-docker",
            topology,
        )
    finally:
        _clear(client)
        client.close()


def _clear(client: Any) -> None:
    for container in client.containers.list(all=True, filters={"label": "halab.test=docker"}):
        container.remove(force=True, v=True)
    for network in client.networks.list(filters={"label": "halab.test=docker"}):
        network.remove()


@pytest.fixture(scope="session")
def double() -> tuple[bytes, bytes]:
    """Return the K3s double's program and its archive of images."""
    return the_double.read()


@pytest.fixture
def machine(ground: Ground) -> Iterator[Callable[..., Machine]]:
    """Make machines; all of them are removed at the end."""
    made: list[Machine] = []

    def make(word: str, **more: object) -> Machine:
        found = Machine(ground.engine, ground.tags[word], privileged=ground.privileged, **more)  # type: ignore[arg-type]
        made.append(found)
        return found.start()

    yield make
    for found in made:
        found.stop()
