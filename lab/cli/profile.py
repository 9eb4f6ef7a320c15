"""`start --profile`: where the seconds went, as a table and as a file for Perfetto."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import click

from lab.base.errors import InputError
from lab.base.profile import STEPS, Profile
from lab.cli.verbosity import hint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.base.profile import ProfileSpan
    from lab.live.lab import Lab

FILE = "profile.json"
SHORTEST_S = 0.2
"""Of a table's row; the file has all. Moments are shown, too."""


def begin(folder: Path | None, node: str, *, named: bool, dry_run: bool) -> Profile | None:
    """Return a new profile, if a folder for it is named. Raises InputError.

    `named` says whether the command names a lab or a snapshot: if it does not, the word after
    `--profile` was meant for it.
    """
    if folder is None:
        return None
    if not named:
        raise click.UsageError(
            f"nothing is named to be started: {folder} is --profile's folder;"
            f" write `halab start {folder} --profile` or --profile=FOLDER"
        )
    if dry_run:
        raise InputError("--profile is for a start, --dry-run starts nothing", "leave one out")
    if node:
        raise InputError("--profile is for the start of a lab, not of one node", "leave one out")
    check(folder)
    return Profile()


@contextlib.contextmanager
def also_of_a_failure(made: Profile | None, folder: Path | None, lab: Lab) -> Iterator[None]:
    """Write a profile if the start fails or is interrupted: it says where the seconds went.

    Machines are not asked about their boots: they may be gone, or hang.
    """
    try:
        yield
    except BaseException:
        if made and folder:
            made.finish()
            _say_where(_keep(made, folder, lab))
        raise


def end(made: Profile | None, folder: Path | None, lab: Lab, *, shown: bool) -> dict[str, Any]:
    """Write a profile and show it; return what JSON has of it. Nothing without a profile."""
    if made is None or folder is None:
        return {}
    made.finish()
    complete(made, lab)
    path = _keep(made, folder, lab)
    if shown:
        show(made)
        _say_where(path)
    return {"profile": {"file": path, "spans": rows(made)}}


def _keep(made: Profile, folder: Path, lab: Lab) -> str:
    """Write a profile; return its path. Where that fails, "": the lab is there all the same."""
    try:
        path = write(made, folder, f"halab start {lab.name}")
    except InputError as error:
        hint(error.message)
        return ""
    return str(path)


def _say_where(path: str) -> None:
    if path:
        hint(f"{path} is for https://ui.perfetto.dev")


def check(folder: Path) -> None:
    """Raise InputError if the file cannot be written there; changes nothing."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder", "name a folder for profile.json")
    if not folder.resolve().parent.is_dir():
        raise InputError(f"there is no folder {folder.parent}", "make it first, or name another")


def complete(profile: Profile, lab: Lab) -> None:
    """Add what the machines say of their boots."""
    from lab.live import boot_times

    for span in boot_times.read(lab, profile.began_wall):
        profile.add_wall(span.node, span.name, span.begin, span.end)


def write(profile: Profile, folder: Path, title: str) -> Path:
    """Write the trace; return its path. Raises InputError where it cannot be written."""
    path = folder / FILE
    try:
        folder.mkdir(exist_ok=True)
        path.write_text(json.dumps(profile.trace(title)), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", "name another") from error
    return path


def rows(profile: Profile) -> list[dict[str, Any]]:
    """Return what took long, and every moment; the steps first, then subject by subject."""
    return [
        {
            "lane": span.lane,
            "name": span.name,
            "begin": round(span.begin, 3),
            "seconds": round(span.seconds, 3),
        }
        for span in profile.spans()
        if _is_shown(span)
    ]


def _is_shown(span: ProfileSpan) -> bool:
    return span.lane == STEPS or span.seconds >= SHORTEST_S or not span.seconds


def show(profile: Profile) -> None:
    """Print the table."""
    from lab.cli import output as out

    table = [
        [row["lane"], row["name"], f"{row['begin']:.2f}", _seconds(row["seconds"])]
        for row in rows(profile)
    ]
    out.wrapped(["SUBJECT", "WHAT", "FROM S", "TAKES S"], table)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds else "-"
