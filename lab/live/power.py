"""Nodes' power buttons, pressed by IPMI: the way that fencing takes, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.errors import InputError, LabError
from lab.nodes.ha.ipmi import command

if TYPE_CHECKING:
    from lab.live.lab import Lab

VERBS = ("status", "on", "off", "cycle", "soft")


def press(lab: Lab, name: str, verb: str) -> str:
    """Press a node's power button (one of VERBS); gives what its controller says.

    Raises LabError where it refuses or does not answer.
    """
    known = [node.name for node in lab.topology.nodes]
    if name not in known:
        raise InputError(
            f"`{name}` has no baseboard controller in lab {lab.name}",
            f"these have: {', '.join(known)}",
        )
    bmc = lab.topology.bmc.name
    found = lab.observe().container(bmc)
    if found is None or not found.running:
        state = found.state if found else "missing"
        raise LabError(
            f"the baseboard controllers of lab {lab.name} do not run ({state})",
            f"`halab start {lab.name} {bmc}` starts them",
        )
    result = lab.node(bmc).run(command(lab.topology, name, "power", verb), check=False)
    said = (result.output.strip().splitlines() or ["no answer"])[-1]
    if result.code != 0:
        raise LabError(
            f"the baseboard controller of {name} says: {said}",
            f"`docker logs {lab.node(bmc).container}` shows its side",
        )
    return said
