"""validate, schema, init, completion: what needs no Docker engine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.base import paths
from lab.base.errors import InputError
from lab.cli.options import (
    complete_topology,
    load_file,
    option_output,
    shipped_topologies,
)
from lab.cli.verbosity import hint

if TYPE_CHECKING:
    from lab.topology.loader import Loaded
    from lab.topology.scenario_file import Scenario


@click.command("validate", epilog="Example: halab validate topologies/3m3w.yaml")
@click.argument("file", shell_complete=complete_topology)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value of the file."
)
@option_output
def validate_command(file: str, overrides: tuple[str, ...], output: str) -> None:
    """Check a topology file. All its problems are listed, by line; exit code 2 if there are any.

    Start only files that you trust: nodes are privileged containers, so the commands of a file's
    scenarios, and binaries that it brings, run as root on this machine.
    """
    loaded = load_file(file, overrides)
    topology = loaded.topology
    if foreign := _foreign(loaded):
        trust = "this runs as root on this machine: start such a file only if you trust it"
        hint(f"note: {file} brings {' and '.join(foreign)}; {trust}")
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
        size = f"{len(topology.masters)} masters, {len(topology.workers)} workers"
        click.echo(f"{file}: fine: lab {topology.name}, {size}")


def _foreign(loaded: Loaded) -> list[str]:
    """Return what a file brings that nodes execute as it is."""
    foreign, images = [], loaded.topology.images
    if images.k3s_binary or images.k3s_images:
        foreign.append("its own K3s binary or images")
    scenarios = [item.name for item in loaded.scenarios if _executes(item)]
    if scenarios:
        foreign.append(f"commands for nodes (scenario {', '.join(scenarios)})")
    return foreign


def _executes(scenario: Scenario) -> bool:
    return any(step.verb == "exec" for step in scenario.steps)


@click.command(
    "schema",
    epilog="Examples: halab schema > halab.schema.json · halab schema --lesson > lesson.json",
)
@click.option("--lesson", is_flag=True, help="Print that of a lesson's lesson.yaml.")
def schema_command(lesson: bool) -> None:
    """Print the JSON Schema of topology files, for editors that check while you type."""
    from lab.cli import output as out
    from lab.lessons.schema import schema as lesson_schema
    from lab.topology.schema import schema

    out.answer(lesson_schema() if lesson else schema())


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
    """Write a copy of a shipped topology, to edit it. An existing file is never overwritten."""
    if file.exists():
        raise InputError(f"{file} exists already; it was not changed", "use another name")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent}")
    shutil.copyfile(paths.shipped("topologies") / f"{source}.yaml", file)
    hint(f"wrote {file}; next: halab start {file}")


@click.command("completion", epilog='Example: eval "$(halab completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script for a shell: commands, labs, nodes, topologies."""
    from click.shell_completion import get_completion_class

    from lab.cli.main import cli

    completion = get_completion_class(shell)
    if completion is None:
        raise InputError(f"no completion for {shell}")
    click.echo(completion(cli, {}, "halab", "_HALAB_COMPLETE").source())
