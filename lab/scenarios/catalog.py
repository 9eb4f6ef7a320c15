"""Which scenarios there are: those that come with halab, a topology's own, and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.base import paths
from lab.base.errors import InputError
from lab.base.messages import did_you_mean
from lab.topology import scenario_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.topology.scenario_file import Scenario


def shipped() -> dict[str, Path]:
    """Return the scenarios that come with halab: name → file."""
    folder = paths.shipped("topologies") / "scenarios"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(word: str, own: Iterable[Scenario] = ()) -> Scenario:
    """Return a scenario by its name, or from its file; a topology's `own` come first.

    Raises InputError with a proposal.
    """
    named = {item.name: item for item in own}
    if word in named:
        return named[word]
    if Path(word).suffix in {".yaml", ".yml"} or "/" in word:
        return scenario_file.load(Path(word))
    known = shipped()
    if word in known:
        return scenario_file.load(known[word])
    raise InputError(f"no scenario `{word}`", did_you_mean(word, [*named, *known]))
