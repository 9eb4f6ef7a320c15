"""From a node of the topology to the handle by which its machine is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.engine.node import NodeHandle

if TYPE_CHECKING:
    from lab.engine.client import Engine
    from lab.topology.model import Node


def handle(engine: Engine, lab: str, node: Node) -> NodeHandle:
    """Return the handle of a lab's node."""
    return NodeHandle(engine, lab, node.name, node.role.value, str(node.ip))
