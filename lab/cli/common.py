"""What several commands share: finding files and labs, and completing their names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab import data
from lab.errors import InputError, LabError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.lab import Lab
    from lab.reporter import Reporter
    from lab.topology.model import Topology
    from lab.topology.scenarios import Scenario


def shipped_topologies() -> list[str]:
    """Give the names of the topologies that come with halab."""
    return sorted(path.stem for path in data.shipped("topologies").glob("*.yaml"))


def topology_path(word: str) -> Path | None:
    """Give the file that a word means: a path, or the name of a shipped topology. None where it is neither."""
    path = Path(word)
    if path.exists() or "/" in word or word.endswith((".yaml", ".yml")):
        return path
    return data.shipped("topologies") / f"{word}.yaml" if word in shipped_topologies() else None


def load_topology(word: str, overrides: tuple[str, ...] = (), name: str = "") -> Topology:
    """Load the topology that a word means; warnings go to stderr. Raises InputError or TopologyError."""
    from lab.topology import loader

    path = topology_path(word)
    if path is None:
        raise InputError(f"no file and no lab `{word}`", f"shipped topologies: {', '.join(shipped_topologies())}; `halab init` writes one")
    loaded = loader.load(path, overrides, name)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning.text(str(path))}", err=True)
    return loaded.topology


def load_scenarios(word: str) -> tuple[Scenario, ...]:
    """Give the scenarios that stand in the topology file that a word means; none where it is no file."""
    from lab.topology import loader

    path = topology_path(word)
    return loader.load(path).scenarios if path else ()


def find_lab(name: str | None, reporter: Reporter | None = None) -> Lab:
    """Give a lab of the engine; without a name the only one."""
    from lab import engine, lab

    return lab.find(engine.connect(), name or "", reporter)


def complete_lab(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem | str]:
    """Complete the names of labs; silent where no engine answers."""
    try:
        from lab import engine

        return [name for name in engine.connect().labs() if name.startswith(incomplete)]
    except LabError:
        return []


def complete_topology(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem | str]:
    """Complete shipped topologies, files and labs."""
    words = [*shipped_topologies(), *(str(path) for path in Path().glob("*.y*ml"))]
    return [word for word in words if word.startswith(incomplete)]


def complete_node(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem | str]:
    """Complete the nodes of the lab named before."""
    try:
        lab = find_lab(ctx.params.get("lab"))
    except LabError:
        return []
    return [node.name for node in lab.topology.machines if node.name.startswith(incomplete)]


def split_words(words: tuple[str, ...]) -> tuple[str | None, str]:
    """Read `[LAB] NODE`: one word is the node where only one lab runs."""
    if len(words) == 1:
        return None, words[0]
    return words[0], words[1]
