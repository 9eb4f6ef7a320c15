"""Handles for a topology's nodes: the engine itself knows no topology."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.engine.node import NodeHandle

if TYPE_CHECKING:
    from lab.engine.client import Engine
    from lab.topology.model import Node


def handle(engine: Engine, lab: str, node: Node) -> NodeHandle:
    """Return the handle by which the machine of a lab's node is used."""
    return NodeHandle(engine, lab, node.name, node.role.value, str(node.ip))
