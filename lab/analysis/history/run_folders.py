"""Run folders: everything that a run of a scenario left, one folder each, in the user's data folder."""

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
    """Make the folder of a new run, readable for this user only. Its name sorts by time."""
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
    """Return all runs, the oldest first."""
    return sorted(path for path in paths.runs().iterdir() if (path / HISTORY).exists())


def find(word: str) -> Path:
    """Return the run that a word means: a folder's path, its name or the beginning of it, or `last`. Raises InputError."""
    from pathlib import Path

    path = Path(word)
    if (path / HISTORY).exists():
        return path
    known = all_runs()
    if word == "last" and known:
        return known[-1]
    hits = (
        [run for run in known if run.name.startswith(word)]
        if re.fullmatch(r"[\w.-]+", word)
        else []
    )
    if len(hits) == 1:
        return hits[0]
    names = (
        ", ".join(run.name for run in (hits or known)[-5:])
        or "none yet: `halab scenario run` makes one"
    )
    raise InputError(
        f"{'several runs begin with' if hits else 'no run'} `{word}`", f"runs: {names}"
    )


def remove(path: Path) -> None:
    """Remove a run. Raises InputError for a folder that is none."""
    if not (path / HISTORY).exists():
        raise InputError(f"{path} is no run", "`halab report` lists them")
    shutil.rmtree(path)
