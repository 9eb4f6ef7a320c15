"""power: a node's power button, pressed as Pacemaker presses it."""

from __future__ import annotations

import click

from lab.cli import option_output
from lab.cli.common import complete_lab, complete_node, find_lab
from lab.live.power import VERBS


@click.command(
    "power", epilog="Examples: halab power 3m3w m off · halab power 3m3w m status -o json"
)
@click.argument("lab", shell_complete=complete_lab)
@click.argument("node", shell_complete=complete_node)
@click.argument("verb", type=click.Choice(VERBS), default="status")
@option_output
def power_command(lab: str, node: str, verb: str, output: str) -> None:
    """Switch a node's power by IPMI through its baseboard controller, as fencing does: off is silent and at once, soft an orderly shutdown.

    Waits for nothing but the controller's answer; `halab start LAB NODE` powers on and waits until the node is Ready.
    """
    from lab.cli import output as out
    from lab.live.power import press

    found = find_lab(lab)
    said = press(found, node, verb)
    if output == "json":
        out.answer(
            {
                "lab": found.name,
                "node": node,
                "verb": verb,
                "answer": said,
                "power": press(found, node, "status").rsplit(" ", 1)[-1],
            }
        )
    else:
        click.echo(f"{node}: {said}")
