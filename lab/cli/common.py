"""What several commands share: finding files and labs, and completing their names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.base import paths
from lab.base.errors import InputError, LabError
from lab.cli.verbosity import hint
from lab.engine import client

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.live.lab import Lab
    from lab.topology.loader import Loaded
    from lab.topology.model import Topology
    from lab.topology.scenario_file import Scenario


def shipped_topologies() -> list[str]:
    """Give the names of the topologies that come with halab."""
    return sorted(path.stem for path in paths.shipped("topologies").glob("*.yaml"))


def bare(word: str) -> bool:
    """Tell whether a word has neither slash nor ending: it may be a lab's name."""
    return "/" not in word and not word.endswith((".yaml", ".yml"))


def topology_path(word: str) -> Path | None:
    """Give the file that a word means: a path, or a shipped topology. None where it is neither.

    A folder that is called like a shipped topology does not hide it.
    """
    path = Path(word)
    if path.is_file() or not bare(word):
        return path
    if word in shipped_topologies():
        return paths.shipped("topologies") / f"{word}.yaml"
    return path if path.exists() else None


def is_lab(word: str, engine: Engine) -> bool:
    """Tell whether a word means a lab that the engine holds, whatever files are called like it."""
    held = engine.labs().get(word) if bare(word) else None
    return held is not None and bool(held.topology)


def load_topology(word: str, overrides: tuple[str, ...] = (), name: str = "") -> Topology:
    """Load the topology that a word means; warnings go to stderr. Raise as `load_file`."""
    return load_file(word, overrides, name).topology


def load_file(word: str, overrides: tuple[str, ...] = (), name: str = "") -> Loaded:
    """Load the file that a word means; warnings go to stderr. Raise InputError, TopologyError."""
    from lab.topology import loader

    path = topology_path(word)
    if path is None:
        raise InputError(
            f"no file and no lab `{word}`",
            f"shipped topologies: {', '.join(shipped_topologies())}; `halab init` writes one",
        )
    loaded = loader.load(path, overrides, name)
    for warning in loaded.warnings:
        hint(f"warning: {warning.text(str(path))}")
    return loaded


def load_scenarios(word: str) -> tuple[Scenario, ...]:
    """Give the scenarios that stand in the topology file that a word means; none where it is no file."""
    from lab.topology import loader

    path = topology_path(word)
    return loader.load(path).scenarios if path else ()


def find_lab(name: str | None, reporter: Reporter | None = None) -> Lab:
    """Give a lab of the engine; without a name the only one."""
    from lab.live import lab

    return lab.find(client.connect(), name or "", reporter)


def complete_lab(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete the names of labs; silent where no engine answers."""
    try:
        return [name for name in client.connect().labs() if name.startswith(incomplete)]
    except LabError:
        return []


def complete_topology(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete shipped topologies, files and labs."""
    words = [*shipped_topologies(), *(str(path) for path in Path().glob("*.y*ml"))]
    found = [word for word in words if word.startswith(incomplete)]
    return [*found, *(word for word in complete_lab(_, __, incomplete) if word not in found)]


def complete_node(
    ctx: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
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
