"""export: the state of a lab as files, to attach to a bug report."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.base.errors import InputError
from lab.cli.options import (
    complete_lab,
    find_lab,
    option_output,
)
from lab.cli.verbosity import hint

if TYPE_CHECKING:
    from collections.abc import Mapping

ARCHIVES = (".tar.gz", ".tgz")


@click.command("export", epilog="Examples: halab export 3m3w report/ · halab export 3m3w bug.tgz")
@click.argument("lab", shell_complete=complete_lab)
@click.argument("place", metavar="DIR|FILE.tar.gz", type=click.Path(path_type=Path))
@option_output
def export_command(lab: str, place: Path, output: str) -> None:
    """Write the journals, objects and states of a lab to a folder or an archive.

    Attach it to a bug report. Secrets are left out; problems.txt says what could not be asked.
    """
    from lab.cli import output as out
    from lab.live import export

    _check(place)
    with out.Progress(f"exporting {lab}") as progress:
        handle = find_lab(lab, progress)
        progress.say(handle.name, "asking nodes, cluster and engine")
        files = export.collect(handle)
        _write(place, files)
        progress.done(handle.name, f"{len(files)} files in {place}")
    problems = files[export.PROBLEMS].decode().splitlines()
    if output == "json":
        out.answer({"place": str(place), "files": sorted(files), "problems": problems})
    for problem in problems:
        hint(f"! {problem}")


def _check(place: Path) -> None:
    """Raise InputError if something would be overwritten, or the place cannot exist."""
    if place.name.endswith(ARCHIVES):
        if place.exists():
            raise InputError(f"{place} exists already", "name another file, or remove it")
    elif place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise InputError(
            f"{place} exists already and is not an empty folder", "name another folder"
        )
    if not place.resolve().parent.is_dir():
        raise InputError(
            f"there is no folder {place.parent}", "make it first, or name another place"
        )


def _write(place: Path, files: Mapping[str, bytes]) -> None:
    """Write the files, readable for this user only: journals say a lot."""
    if not place.name.endswith(ARCHIVES):
        for name, content in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_file(path, content)
        return
    buffer = io.BytesIO()
    folder = place.name.removesuffix(".tgz").removesuffix(".tar.gz")
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    _write_file(place, buffer.getvalue())


def _write_file(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
