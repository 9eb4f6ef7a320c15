"""A snapshot as a file: for another machine, for a class, for the cache of a CI.

The file is a tar of the snapshot's images, as `docker save` writes it. The image of nodes, on which
they stand, is in it, too; an engine that has those layers keeps its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base import whole_file
from lab.base.errors import InputError, LabError
from lab.base.sizes import MEGABYTE, MIB
from lab.images import archive
from lab.live import snapshots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.live.snapshots import Snapshot

OFTEN = 100 * MEGABYTE
"""Between two messages: a second, about."""
REGISTRY = "docker.io/"
"""What a full name begins with that names no registry."""


def write(engine: Engine, name: str, path: Path, reporter: Reporter) -> Snapshot:
    """Write a snapshot to a new file; of one that fails nothing is left.

    Raises InputError if there is no such snapshot, or there is such a file already; LabError if the
    snapshot cannot be used, or the file cannot be written.
    """
    with snapshots.working_on(name):
        snapshot = snapshots.find(engine, name)
        if path.exists():
            raise InputError(f"{path} exists already; nothing was written", "name another file")
        record = snapshot.record
        arch = record.architecture if record else ""
        chunks = _counted(engine.save(snapshot.tags, arch), name, "written", reporter)
        try:
            with whole_file.replacing(path) as file:  # readable by its owner only: it holds keys
                file.writelines(chunks)
        except OSError as error:
            raise LabError(
                f"cannot write {path}: {error.strerror or error}",
                "name a folder that exists, with room for some gigabytes; nothing is left of it",
            ) from None
        return snapshot


def read(engine: Engine, path: Path, reporter: Reporter) -> Snapshot:
    """Load the snapshot that a file holds; of one that fails nothing is left.

    Raises InputError if the file holds no snapshot, or anything beside it, or if there is one of
    its name already; LabError if it is not whole.
    """
    tags = _tags_in(path)
    name = _name_of(tags, path)
    with snapshots.working_on(name):
        snapshots.require_free(engine, name)
        try:
            with path.open("rb") as file:
                chunks = _counted(iter(lambda: file.read(MIB), b""), name, "read", reporter)
                for line in engine.load(chunks):
                    if line:
                        reporter.say(name, line)
            return snapshots.find(engine, name)
        except BaseException:
            snapshots.remove_images(engine, tags)
            raise


def _tags_in(path: Path) -> tuple[str, ...]:
    return tuple(image.name.removeprefix(REGISTRY) for image in archive.read(path))


def _name_of(tags: tuple[str, ...], path: Path) -> str:
    """Return the name of the snapshot that all of a file's images belong to.

    Other images are refused: they would take the place of this engine's own of that name.
    """
    hint = "`halab snapshot export NAME FILE` writes one"
    prefix = f"{snapshots.REPOSITORY}/"
    if others := [tag for tag in tags if not tag.startswith(prefix)]:
        raise InputError(f"{path} is no snapshot: it holds the image {others[0]}", hint)
    names = sorted({tag.removeprefix(prefix).partition(":")[0] for tag in tags})
    if len(names) > 1:
        raise InputError(f"{path} holds more than one snapshot: {', '.join(names)}", hint)
    return names[0]


def _counted(chunks: Iterable[bytes], name: str, what: str, reporter: Reporter) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        yield chunk
        before, done = done, done + len(chunk)
        if before // OFTEN != done // OFTEN:
            reporter.say(name, f"{what} {done // MEGABYTE} MB")
