"""What several commands share: `-o`, finding files and labs, and completing their names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.base import paths
from lab.base.errors import InputError, LabError
from lab.cli.verbosity import hint
from lab.engine import client

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.engine.spec import Observed
    from lab.live.lab import Lab
    from lab.topology.loader import Loaded
    from lab.topology.model import Topology
    from lab.topology.scenario_file import Scenario


def option_output(function: Any) -> Any:  # noqa: ANN401 (a decorator)
    """Add `-o text|json`: the answer on stdout, whose JSON keys stay as they are."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Format of the answer.",
    )(function)


def shipped_topologies() -> list[str]:
    """Return the names of the topologies that come with halab."""
    return sorted(path.stem for path in paths.shipped("topologies").glob("*.yaml"))


def is_bare(argument: str) -> bool:
    """Whether an argument has neither slash nor ending: it may be a lab's name."""
    return "/" not in argument and not argument.endswith((".yaml", ".yml"))


def topology_path(argument: str) -> Path | None:
    """Return the file that an argument means: a path or a shipped topology. None if it is neither.

    A folder with the name of a shipped topology does not hide it.
    """
    path = Path(argument)
    if path.is_file() or not is_bare(argument):
        return path
    if argument in shipped_topologies():
        return paths.shipped("topologies") / f"{argument}.yaml"
    return path if path.exists() else None


def is_lab(argument: str, engine: Engine) -> bool:
    """Whether an argument means a lab that the engine holds, whatever files have the same name."""
    held = engine.labs().get(argument) if is_bare(argument) else None
    return held is not None and bool(held.topology)


def load_topology(argument: str, overrides: tuple[str, ...] = (), name: str = "") -> Topology:
    """Load the topology that an argument means. Warns and raises as `load_file`."""
    return load_file(argument, overrides, name).topology


def load_file(argument: str, overrides: tuple[str, ...] = (), name: str = "") -> Loaded:
    """Load the file that an argument means; warnings go to stderr. Raises InputError."""
    from lab.topology import loader

    path = topology_path(argument)
    if path is None:
        raise InputError(
            f"no file and no lab `{argument}`",
            f"shipped topologies: {', '.join(shipped_topologies())}; `halab init` writes one",
        )
    loaded = loader.load(path, overrides, name)
    for warning in loaded.warnings:
        hint(f"warning: {warning.text(str(path))}")
    return loaded


def load_scenarios(argument: str) -> tuple[Scenario, ...]:
    """Return the scenarios in the topology file that an argument means; none if it is no file."""
    from lab.topology import loader

    path = topology_path(argument)
    return loader.load(path).scenarios if path else ()


def find_lab(name: str | None, reporter: Reporter | None = None) -> Lab:
    """Return a lab of the engine; without a name, the only one."""
    from lab.live import lab

    return lab.find(client.connect(), name or "", reporter)


def find_observed(name: str | None) -> tuple[Lab, Observed]:
    """Return a lab of the engine, and what the engine holds of it; without a name, the only one."""
    from lab.live import lab

    engine = client.connect()
    held = engine.labs()
    handle = lab.find(engine, name or "", held=held)
    return handle, held[handle.name]


def complete_lab(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete the names of labs; nothing if no engine answers."""
    try:
        return [name for name in client.connect().labs() if name.startswith(incomplete)]
    except LabError:
        return []


def complete_topology(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete shipped topologies, files, and the names of labs."""
    names = [*shipped_topologies(), *(str(path) for path in Path().glob("*.y*ml"))]
    files = [name for name in names if name.startswith(incomplete)]
    return [*files, *(name for name in complete_lab(_, __, incomplete) if name not in files)]


def complete_node(
    ctx: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete the nodes of the lab that was named before."""
    try:
        lab = find_lab(ctx.params.get("lab"))
    except LabError:
        return []
    return [node.name for node in lab.topology.machines if node.name.startswith(incomplete)]


def complete_node_or_selector(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete the nodes of the lab that was named before, and what selects one of them."""
    from lab.chaos import targets

    selectors = [name for name in targets.SELECTORS if name.startswith("@")]
    nodes = complete_node(ctx, parameter, incomplete)
    return [*nodes, *(name for name in selectors if name.startswith(incomplete))]


def node_name(lab: Lab, target: str) -> str:
    """Return the one node that a name or a selector, such as @vip-holder, means now.

    Raises InputError if it means none or several.
    """
    if not target.startswith("@"):
        return target
    from lab.chaos import targets
    from lab.live import status

    names = targets.resolve_one(target, lab.topology, lambda: status.look(lab), 0)
    if len(names) != 1:
        raise InputError(f"{target} is {', '.join(names)} now", "give the name of one of them")
    return names[0]


def lab_and_node(arguments: tuple[str, ...]) -> tuple[str | None, str]:
    """Read `[LAB] NODE`: one argument alone is the node of the only lab."""
    if len(arguments) == 1:
        return None, arguments[0]
    return arguments[0], arguments[1]
