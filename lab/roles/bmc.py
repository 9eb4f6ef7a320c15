"""The baseboard controllers of all nodes, in one container: IPMI on the management network, the engine's power button behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.engine.files import File
from lab.engine.labels import container_name
from lab.pacemaker import IPMI_USER, ipmi_password
from lab.roles import Traits

if TYPE_CHECKING:
    from lab.distributions import Distribution
    from lab.kube.pki import Secrets
    from lab.topology.model import Node, Topology

PASSWORD_FILE = "/etc/halab/bmc.password"  # noqa: S105 (a place)


def command(topology: Topology, node: str, *words: str) -> list[str]:
    """Give the command that speaks to a node's controller, as it is run in the controllers' container."""
    place = ["-H", str(topology.bmc.ip), "-p", str(topology.ipmi_port(node))]
    # Cipher suite 3 is what the controllers have; ipmitool 1.8.19 would try 17 first (its issue 363).
    # A controller answers when it is done: starting a machine takes a slow host longer than the five seconds after which ipmitool gives up by
    # default (seen under emulation); four times five are what a controller waits for the engine.
    patience = ["-N", "5", "-R", "4"]
    return ["ipmitool", "-I", "lanplus", "-C", "3", *patience, *place, "-U", IPMI_USER, "-f", PASSWORD_FILE, *words]


@dataclass(frozen=True, slots=True)
class Bmc:
    """Switches power."""

    traits: Traits = field(default=Traits(cluster=False, machine=False, engine_socket=True), init=False)

    def image(self, distribution: Distribution) -> str:
        """Its own."""
        del distribution
        return "bmc"

    def volumes(self, node: Node, distribution: Distribution) -> dict[str, str]:
        """It keeps nothing."""
        del node, distribution
        return {}

    def files(self, topology: Topology, node: Node, secrets: Secrets, distribution: Distribution) -> tuple[File, ...]:
        """Whose power it switches, and who may ask."""
        del distribution
        nodes = {one.name: {"port": topology.ipmi_port(one.name), "container": container_name(topology.name, one.name)} for one in topology.nodes}
        secret = ipmi_password(secrets)
        content = {"lab": topology.name, "address": str(node.ip), "user": IPMI_USER, "password": secret, "nodes": nodes}
        return (
            File(path="/etc/halab/bmc.json", content=json.dumps(content, indent=1).encode(), mode=0o600),
            File(path=PASSWORD_FILE, content=secret.encode(), mode=0o600),
        )

    def ports(self, topology: Topology) -> dict[int, int]:
        """None: IPMI stays on the management network."""
        del topology
        return {}


ROLE = Bmc()
