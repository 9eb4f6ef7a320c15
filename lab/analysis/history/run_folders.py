"""Run folders: what each run of a scenario left, one folder a run, in the user's data folder."""

from __future__ import annotations

import re
import shutil
import time
from typing import TYPE_CHECKING

from lab.base import paths
from lab.base.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

HISTORY = "history.jsonl"


def new(lab: str, scenario: str) -> Path:
    """Make and return the folder of a new run, readable only by this user. Names sort by time."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for number in range(100):
        path = paths.runs() / (f"{stamp}-{lab}-{scenario}" + (f"-{number}" if number else ""))
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return path
    raise InputError(f"{paths.runs()} holds a hundred runs of this second", "remove some")


def all_runs() -> list[Path]:
    """Return the folders of all runs, the oldest first."""
    return sorted(path for path in paths.runs().iterdir() if (path / HISTORY).exists())


def find(name: str) -> Path:
    """Return the folder of a run, named by its path, its name, the name's beginning, or `last`.

    Raise InputError if there is none, or more than one.
    """
    from pathlib import Path

    path = Path(name)
    if (path / HISTORY).exists():
        return path
    known = all_runs()
    if name == "last" and known:
        return known[-1]
    matches = (
        [run for run in known if run.name.startswith(name)]
        if re.fullmatch(r"[\w.-]+", name)
        else []
    )
    if len(matches) == 1:
        return matches[0]
    names = (
        ", ".join(run.name for run in (matches or known)[-5:])
        or "none yet: `halab scenario run` makes one"
    )
    raise InputError(
        f"{'several runs begin with' if matches else 'no run'} `{name}`", f"runs: {names}"
    )


def remove(path: Path) -> None:
    """Remove a run's folder. Raise InputError if it is not one."""
    if not (path / HISTORY).exists():
        raise InputError(f"{path} is no run", "`halab report` lists them")
    shutil.rmtree(path)
