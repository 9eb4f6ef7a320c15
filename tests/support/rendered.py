"""What a node of upstream Kubernetes gets, rendered without an engine, and the secrets in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.kube import pki
from lab.nodes import distributions, roles

if TYPE_CHECKING:
    from lab.engine.files import File
    from lab.topology.model import Topology

UPSTREAM = distributions.find("upstream")
SECRETS = pki.new_secrets("test")


def files(topology: Topology, name: str) -> dict[str, File]:
    node = topology.node(name)
    return {
        file.path: file for file in roles.find(node.role).files(topology, node, SECRETS, UPSTREAM)
    }
