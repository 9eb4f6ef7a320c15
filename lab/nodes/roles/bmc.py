"""The baseboard controllers of all nodes, in one container.

They speak IPMI on the management network and press the engine's power button.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.engine.files import File
from lab.engine.labels import container_name
from lab.nodes.ha.ipmi import IPMI_USER, PASSWORD_FILE, ipmi_password
from lab.nodes.roles import Traits

if TYPE_CHECKING:
    from lab.kube.secrets import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Topology


@dataclass(frozen=True, slots=True)
class Bmc:
    """The role that switches the nodes' power."""

    traits: Traits = field(
        default=Traits(cluster=False, machine=False, engine_socket=True), init=False
    )

    def image(self, distribution: Distribution) -> str:
        """Return the controllers' own image."""
        del distribution
        return "bmc"

    def volumes(self, node: Node, distribution: Distribution) -> dict[str, str]:
        """Return no volumes: the controllers keep nothing."""
        del node, distribution
        return {}

    def files(
        self, topology: Topology, node: Node, secrets: Secrets, distribution: Distribution
    ) -> tuple[File, ...]:
        """Return the list of machines, each with its port, and the password that they ask for."""
        del distribution
        nodes = {
            machine.name: {
                "port": topology.ipmi_port(machine.name),
                "container": container_name(topology.name, machine.name),
            }
            for machine in topology.nodes
        }
        secret = ipmi_password(secrets)
        content = {
            "lab": topology.name,
            "address": str(node.ip),
            "user": IPMI_USER,
            "password": secret,
            "nodes": nodes,
        }
        return (
            File(
                path="/etc/halab/bmc.json",
                content=json.dumps(content, indent=1).encode(),
                mode=0o600,
            ),
            File(path=PASSWORD_FILE, content=secret.encode(), mode=0o600),
        )

    def ports(self, topology: Topology) -> dict[int, int]:
        """Return no ports: IPMI stays on the management network."""
        del topology
        return {}


ROLE = Bmc()
