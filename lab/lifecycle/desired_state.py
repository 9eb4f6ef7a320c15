"""Topology and distribution → what the engine should hold. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lab.base.hashing import digest
from lab.engine.labels import (
    LABEL,
    LABEL_DISTRIBUTION,
    LABEL_NODE,
    LABEL_ROLE,
    LABEL_SNAPSHOT,
    LABEL_SPEC,
    LABEL_TOPOLOGY,
    container_name,
    management_name,
    network_name,
    secrets_volume,
)
from lab.engine.spec import Bind, ContainerSpec, Desired, NetworkSpec
from lab.nodes import roles
from lab.topology.model import to_json

if TYPE_CHECKING:
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Topology


def configuration(topology: Topology) -> str:
    """Return the hash of all that nodes are configured with.

    Not the host's port, which the load balancer's container alone has, nor what add-ons use, nor
    where images come from.
    """
    network = replace(topology.network, pool=None)
    plain = replace(
        topology,
        addons=(),
        network=network,
        loadbalancer=replace(topology.loadbalancer, host_port=0),
        images=replace(topology.images, source=""),
    )
    return digest(to_json(plain))


def desired(
    topology: Topology, distribution: Distribution, tags: dict[str, str], host_port: int
) -> Desired:
    """Return the lab as the engine should hold it.

    `host_port` is the one that was free (0: the engine picks one).
    """
    lab = topology.name
    volumes = {secrets_volume(lab): {LABEL: lab}}
    containers, configured = [], configuration(topology)
    for node in topology.containers:
        spec = _container(topology, node, distribution, tags)
        marked = {**spec.labels, LABEL_SPEC: digest(spec.fingerprint() + configured)}
        spec = replace(spec, labels=marked, ports=_ports(topology, node, host_port))
        volumes |= {name: {LABEL: lab, LABEL_NODE: node.name} for name in spec.volumes}
        containers.append(spec)
    both = networks(topology, distribution.name)
    return Desired(lab=lab, networks=both, volumes=volumes, containers=tuple(containers))


def networks(
    topology: Topology, distribution: str, snapshot: str = ""
) -> tuple[NetworkSpec, NetworkSpec]:
    """Return the lab's own network and its management network."""
    lab = topology.name
    made_from = {LABEL_SNAPSHOT: snapshot} if snapshot else {}
    network = NetworkSpec(
        name=network_name(lab),
        subnet=str(topology.network.subnet),
        gateway=str(topology.network.gateway),
        reserved=tuple(map(str, topology.service_addresses)),
        labels={
            LABEL: lab,
            LABEL_TOPOLOGY: to_json(topology),
            LABEL_DISTRIBUTION: distribution,
            **made_from,
        },
    )
    # Internal: no packet from a baseboard controller ever leaves the machine.
    management = NetworkSpec(
        name=management_name(lab),
        subnet=str(topology.network.management),
        internal=True,
        labels={LABEL: lab},
    )
    return network, management


def _container(
    topology: Topology, node: Node, distribution: Distribution, tags: dict[str, str]
) -> ContainerSpec:
    """Return a node's container, without what may change: its ports on the host."""
    role, lab = roles.find(node.role), topology.name
    traits, name = role.traits, container_name(lab, node.name)
    addresses = {network_name(lab): str(node.ip)} if traits.cluster else {}
    management = topology.management_ip(node)
    addresses |= {management_name(lab): str(management)} if management else {}
    network, *more = addresses
    return ContainerSpec(
        name=name,
        hostname=node.name,
        image=tags[role.image(distribution)],
        network=network,
        ip=addresses[network],
        more={another: addresses[another] for another in more},
        machine=traits.machine,
        engine_socket=traits.engine_socket,
        cpu_shares=traits.cpu_shares,
        sysctls=traits.sysctls,
        mounts=tuple(
            Bind(folder=mount.folder, path=mount.path, writable=mount.writable)
            for mount in node.mounts
        ),
        millicpus=node.size.millicpus,
        memory=node.size.memory,
        labels={
            LABEL: lab,
            LABEL_NODE: node.name,
            LABEL_ROLE: node.role.value,
            LABEL_DISTRIBUTION: distribution.name,
        },
        volumes={
            f"{name}-{purpose}": path for purpose, path in role.volumes(node, distribution).items()
        },
    )


def _ports(topology: Topology, node: Node, host_port: int) -> dict[int, int]:
    own = dict.fromkeys(roles.find(node.role).ports(topology), host_port)
    return own | {inside: outside for outside, inside in node.ports}
