"""Where scenarios come from: halab's own, a topology's own, and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.base import paths
from lab.base.errors import InputError
from lab.base.suggest import did_you_mean
from lab.topology import scenario_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.topology.scenario_file import Scenario


def shipped() -> dict[str, Path]:
    """Return the scenarios that come with halab: name → file."""
    folder = paths.shipped("topologies") / "scenarios"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name: str, own: Iterable[Scenario] = ()) -> Scenario:
    """Return a scenario by its name or its file's path; a topology's `own` come first.

    Raises InputError with a suggestion.
    """
    named = {item.name: item for item in own}
    if name in named:
        return named[name]
    if Path(name).suffix in {".yaml", ".yml"} or "/" in name:
        return scenario_file.load(Path(name))
    known = shipped()
    if name in known:
        return scenario_file.load(known[name])
    raise InputError(f"no scenario `{name}`", did_you_mean(name, [*named, *known]))
