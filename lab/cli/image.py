"""image: images of the user's for the pods of a lab."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.base.errors import LabError
from lab.cli.options import complete_lab, complete_node, find_lab, option_output
from lab.engine import client

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.live.image_load import NodeImage


def complete_image(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete the engine's images and tars; silent where no engine answers."""
    tars = [str(path) for path in Path().glob("*.tar*")]
    try:
        names = [*client.connect().images(""), *tars]
    except LabError:
        names = tars
    return [name for name in names if name.startswith(incomplete)]


@click.group("image", epilog="Example: halab image load 3m3w myapp:dev")
def image_command() -> None:
    """Your own images, for the pods of a lab. Those of its nodes: `halab images`."""


@image_command.command(
    "load",
    epilog="Examples: halab image load 3m3w myapp:dev · halab image load 3m3w app.tar --node w1",
)
@click.argument("lab", shell_complete=complete_lab)
@click.argument(
    "images", nargs=-1, required=True, metavar="IMAGE...", shell_complete=complete_image
)
@click.option(
    "--node",
    "nodes",
    multiple=True,
    metavar="NODE",
    shell_complete=complete_node,
    help="Only into this node; may be given several times.",
)
@option_output
def load_command(lab: str, images: tuple[str, ...], nodes: tuple[str, ...], output: str) -> None:
    """Load images into a lab's nodes, for pods with `imagePullPolicy: IfNotPresent` or `Never`.

    IMAGE is a name in the local engine, or the path of a tar as `docker save` writes it. A node
    that has the same image already is left as it is; exit code 1 where one is off.
    """
    from lab.cli import output as out
    from lab.live.image_load import load

    with out.Progress(f"loading {', '.join(images)}") as progress:
        results = load(find_lab(lab, progress), images, nodes)
    if output == "json":
        out.answer([asdict(row) for row in results])
    else:
        rows = [[row.node, row.image, row.state] for row in results]
        out.table(["NODE", "IMAGE", "STATE"], rows)
    _refuse_off(results)


def _refuse_off(results: tuple[NodeImage, ...]) -> None:
    from lab.live.image_load import OFF

    off = list(dict.fromkeys(row.node for row in results if row.state == OFF))
    if off:
        raise LabError(
            f"not loaded into {', '.join(off)}: off",
            "`halab start LAB NODE` powers one on; the same command then goes on",
        )
