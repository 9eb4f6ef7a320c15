"""validate, schema, init, completion: what needs no engine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.base import paths
from lab.base.errors import InputError
from lab.cli import option_output
from lab.cli.common import complete_topology, load_file, shipped_topologies
from lab.cli.verbosity import hint

if TYPE_CHECKING:
    from lab.topology.loader import Loaded


@click.command("validate", epilog="Example: halab validate topologies/3m3w.yaml")
@click.argument("file", shell_complete=complete_topology)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value of the file."
)
@option_output
def validate_command(file: str, overrides: tuple[str, ...], output: str) -> None:
    """Check a topology file; all problems are told at once, by line. Exit code 2 where one is.

    Run only files that you trust: nodes are privileged containers, and what a file's scenarios
    execute on them, or its own binaries do, is done as root on this machine.
    """
    loaded = load_file(file, overrides)
    topology = loaded.topology
    if what := _foreign(loaded):
        trust = "it runs as root on this machine: start such a file only if you trust it"
        hint(f"note: {file} brings {' and '.join(what)}; {trust}")
    if output == "json":
        from lab.cli import output as out

        out.answer(
            {
                "name": topology.name,
                "masters": len(topology.masters),
                "workers": len(topology.workers),
                "valid": True,
            }
        )
    else:
        click.echo(
            f"{file}: fine: lab {topology.name}, {len(topology.masters)} masters, {len(topology.workers)} workers"
        )


def _foreign(loaded: Loaded) -> list[str]:
    """Give what of a file is executed on nodes as it stands there."""
    found, images = [], loaded.topology.images
    if images.k3s_binary or images.k3s_images:
        found.append("its own K3s binary or images")
    names = [one.name for one in loaded.scenarios if any(step.verb == "exec" for step in one.steps)]
    if names:
        found.append(f"commands for nodes (scenario {', '.join(names)})")
    return found


@click.command("schema", epilog="Example: halab schema > halab.schema.json")
def schema_command() -> None:
    """Print the JSON Schema of topology files, for editors that check while one types."""
    from lab.cli import output as out
    from lab.topology.schema import schema

    out.answer(schema())


@click.command("init", epilog="Example: halab init my.yaml --from 1m1w")
@click.argument("file", default="lab.yaml", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--from",
    "source",
    default="3m3w",
    show_default=True,
    type=click.Choice(shipped_topologies()),
    help="The shipped topology to copy.",
)
def init_command(file: Path, source: str) -> None:
    """Write a copy of a shipped topology to edit. An existing file is never overwritten."""
    if file.exists():
        raise InputError(f"{file} exists already; it was not changed", "give another name")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent}")
    shutil.copyfile(paths.shipped("topologies") / f"{source}.yaml", file)
    hint(f"wrote {file}; next: halab start {file}")


@click.command("completion", epilog='Example: eval "$(halab completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell: commands, labs, nodes, topologies."""
    from click.shell_completion import get_completion_class

    from lab.cli import cli

    maker = get_completion_class(shell)
    if maker is None:
        raise InputError(f"no completion for {shell}")
    click.echo(maker(cli, {}, "halab", "_HALAB_COMPLETE").source())
