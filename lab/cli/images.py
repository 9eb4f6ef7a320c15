"""images build, list, save, load, remove."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.addons import catalog
from lab.base.errors import EngineError, InputError, LabError
from lab.cli import option_output
from lab.cli.verbosity import hint
from lab.engine import client
from lab.images.sources import wish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.base.progress import Reporter
    from lab.images.builder import Builder
    from lab.images.sources import Wishes

DISTRIBUTIONS = click.Choice(["k3s", "upstream"])


def _builder(reporter: Reporter | None = None, wished: Wishes = ()) -> Builder:
    from lab.base.progress import Silent
    from lab.images.builder import Builder
    from lab.images.sources import sources_for

    connected = client.connect()
    own = replace(sources_for(connected), wished=wished)
    return Builder(connected, own, reporter or Silent())


def _wish(version: str, distribution: str) -> tuple[str, Wishes]:
    """Give the distribution that a version is of, and the wish for it. Raise InputError."""
    from lab.base.errors import WrongError
    from lab.topology import releases

    if not version:
        return distribution, ()
    name = distribution or ("k3s" if "+k3s" in version else "upstream")
    try:
        releases.check(name, version)
    except WrongError as wrong:
        raise InputError(f"--version {wrong.message}", wrong.hint) from None
    return name, wish(name, version)


@click.group("images")
def images_command() -> None:
    """The images of nodes: tags are hashes of all that goes in, so a second build does nothing."""


@images_command.command("build", epilog="Example: halab images build --distribution upstream")
@click.option(
    "--distribution",
    type=DISTRIBUTIONS,
    default=None,
    help="Build for this one; else for the first that can be had.",
)
@click.option(
    "--version", default="", metavar="V", help="Build this one, as a topology names it: v1.35.4."
)
@click.option(
    "--addons",
    is_flag=True,
    help="Also all that add-ons want: their pods' images, Helm; else made when one is first enabled.",
)
@option_output
def build_command(distribution: str | None, version: str, addons: bool, output: str) -> None:
    """Make what is missing: downloaded where that can be reached, else built from Go modules and Debian's packages."""
    from lab.addons import published
    from lab.addons.pod_images import PodImages
    from lab.cli import output as out
    from lab.engine import fitness
    from lab.images.sources import BESIDE
    from lab.lifecycle.distribution_choice import choose

    forced, wished = _wish(version, distribution or "")
    with out.Progress("building images") as progress:
        builder = _builder(progress, wished)
        fitness.require_fit(builder.engine)
        choice = choose(("k3s", "upstream"), builder, forced)
        words = list(builder.versions.addons) if addons else []
        PodImages(builder).make(words)
        if addons:
            published.obtain(builder, map(catalog.find, catalog.names()))
    for reason in choice.why_not:
        hint(f"not used: {reason}")
    name = choice.distribution.image
    tags = {
        word: builder.tags[word] for word in (*BESIDE, name, *(f"pods/{word}" for word in words))
    }
    if output == "json":
        out.answer(tags)
    else:
        out.table(["IMAGE", "TAG"], [[word, tag] for word, tag in tags.items()])


@images_command.command("list", epilog="Example: halab images list -o json")
@option_output
def list_command(output: str) -> None:
    """List the images that labs are made of, and whether they are here."""
    from lab.cli import output as out

    builder = _builder()
    here = builder.engine.images()
    rows = [
        {"image": word, "tag": tag, "here": tag in here, "size": here.get(tag, {}).get("Size", 0)}
        for word, tag in builder.tags.items()
    ]
    if output == "json":
        out.answer(rows)
    else:
        cells = [
            [
                row["image"],
                row["tag"],
                f"{row['size'] / 1e6:.0f} MB" if row["here"] else "not built",
            ]
            for row in rows
        ]
        out.table(["IMAGE", "TAG", "SIZE"], [[str(cell) for cell in row] for row in cells])


@images_command.command("save", epilog="Example: halab images save halab-images.tar")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def save_command(file: Path) -> None:
    """Save the images that are here into a tar, for a machine without a network."""
    from lab.images.sources import BESIDE

    builder = _builder()
    words = [
        word
        for word in builder.tags
        if word in {*BESIDE, "upstream", "k3s"} or word.startswith("pods/")
    ]
    wanted = [builder.tags[word] for word in words if builder.engine.has_image(builder.tags[word])]
    if not wanted:
        raise LabError("no images are here", "`halab images build` makes them")
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("wb") as target:
            for chunk in builder.engine.save(wanted, builder.sources.arch):
                target.write(chunk)
        part.replace(file)
    except OSError as error:
        raise LabError(f"cannot write {file}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    hint(f"saved {', '.join(wanted)} to {file} ({file.stat().st_size / 1e6:.0f} MB)")


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(1024 * 1024):
            yield chunk


@images_command.command("load", epilog="Example: halab images load halab-images.tar")
@click.argument("file", type=click.Path(path_type=Path))
def load_command(file: Path) -> None:
    """Load images from a tar that `images save` wrote."""
    from lab.images.sources import BESIDE

    if not file.is_file():
        raise InputError(f"no file {file}")
    builder = _builder()
    for line in builder.engine.load(_chunks(file)):
        if line:
            hint(line)
    here = [word for word in ("upstream", "k3s") if not builder.missing(*BESIDE, word)]
    if not here:
        raise LabError(
            f"{file} holds no images of this halab",
            "they were saved by another version, or for another architecture",
        )


@images_command.command("remove", epilog="Example: halab images remove")
def remove_command() -> None:
    """Remove halab's images from the engine; the cache of binaries stays, so a rebuild is quick.

    An image that a lab uses stays; exit code 1 then.
    """
    builder = _builder()
    stay: list[EngineError] = []
    for tag in sorted(builder.engine.images()):
        try:
            builder.engine.remove_image(tag)
        except EngineError as error:
            stay.append(error)
        else:
            hint(f"removed {tag}")
    if stay:
        labs = ", ".join(builder.engine.labs())
        remedy = f"`halab destroy` first; labs here: {labs}" if labs else "see `docker ps -a`"
        reasons = "\n  ".join(error.message for error in stay)
        raise LabError(f"{len(stay)} of the images stay:\n  {reasons}", remedy)
