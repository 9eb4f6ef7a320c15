"""validate, schema, init, completion: what needs no engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from lab import data
from lab.cli import option_output
from lab.cli.common import complete_topology, load_topology, shipped_topologies
from lab.errors import InputError


@click.command("validate", epilog="Example: halab validate topologies/3m3w.yaml")
@click.argument("file", shell_complete=complete_topology)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value of the file.")
@option_output
def validate_command(file: str, overrides: tuple[str, ...], output: str) -> None:
    """Check a topology file; every problem is told at once, with its line. Exit code 2 where there is one."""
    topology = load_topology(file, overrides)
    if output == "json":
        from lab.cli import output as out

        out.answer({"name": topology.name, "masters": len(topology.masters), "workers": len(topology.workers), "valid": True})
    else:
        click.echo(f"{file}: fine: lab {topology.name}, {len(topology.masters)} masters, {len(topology.workers)} workers")


@click.command("schema", epilog="Example: halab schema > halab.schema.json")
def schema_command() -> None:
    """Print the JSON Schema of topology files, for editors that check while one types."""
    from lab.cli import output as out
    from lab.topology.schema import schema

    out.answer(schema())


@click.command("init", epilog="Example: halab init my.yaml --from 1m1w")
@click.argument("file", default="lab.yaml", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--from", "source", default="3m3w", show_default=True, type=click.Choice(shipped_topologies()), help="The shipped topology to copy.")
def init_command(file: Path, source: str) -> None:
    """Write a copy of a shipped topology to edit. An existing file is never overwritten."""
    if file.exists():
        raise InputError(f"{file} exists already; it was not changed", "give another name")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent}")
    shutil.copyfile(data.shipped("topologies") / f"{source}.yaml", file)
    click.echo(f"wrote {file}; next: halab start {file}", err=True)


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
