"""images: build, list, save, load and remove the images of nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.addons import catalog
from lab.base import whole_file
from lab.base.errors import EngineError, InputError, LabError
from lab.cli.options import option_output
from lab.cli.verbosity import hint
from lab.engine import client
from lab.images.sources import wish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.base.progress import Reporter
    from lab.images.builder import Builder
    from lab.images.sources import Wishes

DISTRIBUTION_IMAGES = ("upstream", "k3s")
DISTRIBUTIONS = click.Choice(["k3s", "upstream"])


def _builder(
    reporter: Reporter | None = None, wished: Wishes = (), source: Path | None = None
) -> Builder:
    from lab.base.progress import Silent
    from lab.images.builder import Builder
    from lab.images.sources import sources_for

    connected = client.connect()
    listed = str(source.absolute()) if source else ""
    own = replace(sources_for(connected), wished=wished, source=listed)
    return Builder(connected, own, reporter or Silent())


def _wish(version: str, distribution: str) -> tuple[str, Wishes]:
    """Return the distribution of a version, and the wish for it. Raises InputError."""
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
    """Build, list, save, load and remove the images of nodes.

    Tags are hashes of everything that goes into an image, so a second build does nothing.
    """


@images_command.command("build", epilog="Example: halab images build --distribution upstream")
@click.option(
    "--distribution",
    type=DISTRIBUTIONS,
    default=None,
    help="Build for this one; without it, for the first that can be had.",
)
@click.option(
    "--version",
    default="",
    metavar="V",
    help="Build this version of Kubernetes, written as in a topology: v1.35.4.",
)
@click.option(
    "--addons",
    is_flag=True,
    help="Build what add-ons need, too: the images of their pods, and Helm. Without it, that is"
    " built when an add-on is first enabled.",
)
@click.option(
    "--source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    metavar="FILE",
    help="Pull what this file lists, as a topology's images.source does.",
)
@option_output
def build_command(
    distribution: str | None, version: str, addons: bool, source: Path | None, output: str
) -> None:
    """Build the images that are missing.

    Their parts are downloaded; what cannot be reached is built from Go modules and Debian packages.
    """
    from lab.addons import published
    from lab.addons.pod_images import PodImages
    from lab.cli import output as out
    from lab.engine import fitness
    from lab.images.sources import COMMON_IMAGES
    from lab.lifecycle.distribution_choice import choose

    forced, wished = _wish(version, distribution or "")
    with out.Progress("building images") as progress:
        builder = _builder(progress, wished, source)
        fitness.require_fit(builder.engine)
        choice = choose(("k3s", "upstream"), builder, forced)
        pods = list(builder.versions.addons) if addons else []
        PodImages(builder).make(pods)
        if addons:
            published.obtain(builder, map(catalog.find, catalog.names()))
    for reason in choice.why_not:
        hint(f"not used: {reason}")
    names = (*COMMON_IMAGES, choice.distribution.image, *(f"pods/{pod}" for pod in pods))
    tags = {name: builder.tags[name] for name in names}
    if output == "json":
        out.answer(tags)
    else:
        out.table(["IMAGE", "TAG"], [[name, tag] for name, tag in tags.items()])


@images_command.command("list", epilog="Example: halab images list -o json")
@option_output
def list_command(output: str) -> None:
    """List the images of labs, and which of them are built."""
    from lab.cli import output as out

    builder = _builder()
    here = builder.engine.images()
    rows = [
        {"image": name, "tag": tag, "here": tag in here, "size": here.get(tag, {}).get("Size", 0)}
        for name, tag in builder.tags.items()
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
    """Save the images that are built to a tar file.

    `images load` reads it, for example on a machine without a network.
    """
    from lab.images.sources import COMMON_IMAGES

    builder = _builder()
    nodes = {*COMMON_IMAGES, *DISTRIBUTION_IMAGES}
    tags = [
        tag
        for name, tag in builder.tags.items()
        if (name in nodes or name.startswith("pods/")) and builder.engine.has_image(tag)
    ]
    if not tags:
        raise LabError("no images are built", "`halab images build` builds them")
    try:
        with whole_file.replacing(file, whole_file.USUAL) as target:
            target.writelines(builder.engine.save(tags, builder.sources.arch))
    except OSError as error:
        raise LabError(f"cannot write {file}: {error.strerror}") from error
    hint(f"saved {', '.join(tags)} to {file} ({file.stat().st_size / 1e6:.0f} MB)")


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(1024 * 1024):
            yield chunk


@images_command.command("load", epilog="Example: halab images load halab-images.tar")
@click.argument("file", type=click.Path(path_type=Path))
def load_command(file: Path) -> None:
    """Load images from a tar file that `images save` wrote."""
    from lab.images.sources import COMMON_IMAGES

    if not file.is_file():
        raise InputError(f"there is no file {file}")
    builder = _builder()
    for line in builder.engine.load(_chunks(file)):
        if line:
            hint(line)
    if not any(not builder.missing(*COMMON_IMAGES, name) for name in DISTRIBUTION_IMAGES):
        raise LabError(
            f"{file} holds no images of this halab",
            "its images were saved by another version, or for another architecture",
        )


@images_command.command("remove", epilog="Example: halab images remove")
def remove_command() -> None:
    """Remove halab's images from Docker. The cache of binaries stays, so that a rebuild is quick.

    An image that a lab uses is kept, and the exit code is 1.
    """
    builder = _builder()
    kept: list[EngineError] = []
    for tag in sorted(builder.engine.images()):
        try:
            builder.engine.remove_image(tag)
        except EngineError as error:
            kept.append(error)
        else:
            hint(f"removed {tag}")
    if kept:
        labs = ", ".join(builder.engine.labs())
        remedy = f"`halab destroy` first; labs here: {labs}" if labs else "see `docker ps -a`"
        reasons = "\n  ".join(error.message for error in kept)
        raise LabError(f"{len(kept)} of the images are still here:\n  {reasons}", remedy)
