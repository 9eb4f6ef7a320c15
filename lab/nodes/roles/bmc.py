"""The baseboard controllers of all nodes, in one container: IPMI on the management network, the engine's power button behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.engine.files import File
from lab.engine.labels import container_name
from lab.nodes.ha.ipmi import IPMI_USER, PASSWORD_FILE, ipmi_password
from lab.nodes.roles import Traits

if TYPE_CHECKING:
    from lab.kube.pki import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Topology


@dataclass(frozen=True, slots=True)
class Bmc:
    """Switches power."""

    traits: Traits = field(
        default=Traits(cluster=False, machine=False, engine_socket=True), init=False
    )

    def image(self, distribution: Distribution) -> str:
        """Its own."""
        del distribution
        return "bmc"

    def volumes(self, node: Node, distribution: Distribution) -> dict[str, str]:
        """It keeps nothing."""
        del node, distribution
        return {}

    def files(
        self, topology: Topology, node: Node, secrets: Secrets, distribution: Distribution
    ) -> tuple[File, ...]:
        """Whose power it switches, and who may ask."""
        del distribution
        nodes = {
            one.name: {
                "port": topology.ipmi_port(one.name),
                "container": container_name(topology.name, one.name),
            }
            for one in topology.nodes
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
        """None: IPMI stays on the management network."""
        del topology
        return {}


ROLE = Bmc()
