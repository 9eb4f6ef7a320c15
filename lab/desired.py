"""Topology and distribution → what the engine should hold. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lab import nginx, roles
from lab.node import container_name
from lab.spec import (
    CPU_SHARES,
    LABEL,
    LABEL_DISTRIBUTION,
    LABEL_NODE,
    LABEL_ROLE,
    LABEL_SPEC,
    LABEL_TOPOLOGY,
    ContainerSpec,
    Desired,
    NetworkSpec,
)
from lab.topology.model import Role, digest, to_json

if TYPE_CHECKING:
    from lab.distributions import Distribution
    from lab.topology.model import Node, Topology

MASTERS_SHARES = 4 * CPU_SHARES
"""Of masters, of the controllers that shoot them, and of the load balancer: on a busy host workloads wait, not the token whose loss costs a
master its power, nor nginx, which needs little and which everybody waits for.

Four times a worker's: real masters share no processor with workers at all.
"""


def secrets_volume(lab: str) -> str:
    """Give the name of the volume that keeps the lab's secrets."""
    return f"halab-{lab}-secrets"


def network_name(lab: str) -> str:
    """Give the name of the lab's network."""
    return f"halab-{lab}"


def management_name(lab: str) -> str:
    """Give the name of the lab's management network."""
    return f"halab-{lab}-management"


def configuration(topology: Topology) -> str:
    """Hash of all that nodes are configured with: not the host's port, which the balancer's container alone has, nor what add-ons use."""
    network = replace(topology.network, pool=None)
    plain = replace(topology, addons=(), network=network, loadbalancer=replace(topology.loadbalancer, host_port=0))
    return digest(to_json(plain))


def desired(topology: Topology, distribution: Distribution, tags: dict[str, str], host_port: int) -> Desired:
    """Give the lab as the engine should hold it. `host_port` is the one that was free (0: the engine picks one)."""
    lab = topology.name
    volumes = {secrets_volume(lab): {LABEL: lab}}
    containers = []
    for node in topology.containers:
        spec = _container(topology, node, distribution, tags, host_port)
        volumes |= {name: {LABEL: lab, LABEL_NODE: node.name} for name in spec.volumes}
        containers.append(spec)
    network = NetworkSpec(
        name=network_name(lab),
        subnet=str(topology.network.subnet),
        gateway=str(topology.network.gateway),
        reserved=tuple(map(str, topology.service_addresses)),
        labels={LABEL: lab, LABEL_TOPOLOGY: to_json(topology), LABEL_DISTRIBUTION: distribution.name},
    )
    # Internal: from a baseboard controller no packet ever leaves the machine.
    management = NetworkSpec(name=management_name(lab), subnet=str(topology.network.management), internal=True, labels={LABEL: lab})
    return Desired(lab=lab, networks=(network, management), volumes=volumes, containers=tuple(containers))


def _container(topology: Topology, node: Node, distribution: Distribution, tags: dict[str, str], host_port: int) -> ContainerSpec:
    role, lab = roles.find(node.role), topology.name
    name = container_name(lab, node.name)
    spec = ContainerSpec(
        name=name,
        hostname=node.name,
        image=tags[role.image(distribution)],
        network=management_name(lab) if node.role is Role.BMC else network_name(lab),
        ip=str(node.ip),
        more={management_name(lab): str(topology.management_ip(node))} if node.role is Role.MASTER else {},
        machine=node.role is not Role.BMC,
        engine_socket=node.role is Role.BMC,
        cpu_shares=CPU_SHARES if node.role is Role.WORKER else MASTERS_SHARES,
        sysctls=nginx.SYSCTLS if node.role is Role.LOADBALANCER else {},
        labels={LABEL: lab, LABEL_NODE: node.name, LABEL_ROLE: node.role.value, LABEL_DISTRIBUTION: distribution.name},
        volumes={f"{name}-{purpose}": path for purpose, path in role.volumes(node, distribution).items()},
    )
    marked = {**spec.labels, LABEL_SPEC: digest(spec.fingerprint() + configuration(topology))}
    return replace(spec, labels=marked, ports=dict.fromkeys(role.ports(topology), host_port))
