"""The nodes' power buttons, pressed by IPMI, as fencing does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.errors import InputError, LabError
from lab.nodes.ha.ipmi import command

if TYPE_CHECKING:
    from lab.live.lab import Lab

VERBS = ("status", "on", "off", "cycle", "soft")


def press(lab: Lab, name: str, verb: str) -> str:
    """Press a node's power button; return what its controller says. `verb` is one of VERBS.

    Raises InputError for a node without a controller, and LabError if that refuses or does not
    answer.
    """
    known = [node.name for node in lab.topology.nodes]
    if name not in known:
        raise InputError(
            f"`{name}` has no baseboard controller in lab {lab.name}",
            f"these have: {', '.join(known)}",
        )
    bmc = lab.topology.bmc.name
    container = lab.observe().container(bmc)
    if container is None or not container.running:
        state = container.state if container else "missing"
        raise LabError(
            f"the baseboard controllers of lab {lab.name} do not run ({state})",
            f"`halab start {lab.name} {bmc}` starts them",
        )
    result = lab.node(bmc).run(command(lab.topology, name, "power", verb), check=False)
    answer = (result.output.strip().splitlines() or ["no answer"])[-1]
    if result.code != 0:
        raise LabError(
            f"the baseboard controller of {name} says: {answer}",
            f"`docker logs {lab.node(bmc).container}` shows the controllers' own log",
        )
    return answer
