"""versions: which versions of Kubernetes can be had here and now."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lab.base.errors import LabError
from lab.cli.options import option_output
from lab.cli.verbosity import hint
from lab.engine import client
from lab.images.sources import Sources, architecture, sources_for
from lab.topology.known_names import DISTRIBUTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.images.available import Offer, Shelf

ORIGINS = {
    "image": "its image is here",
    "cache": "in the cache; its image is built from there",
    "download": "downloaded, and checked by its publisher's checksums",
    "build": "built from Go modules",
}


@click.command("versions", epilog="Examples: halab versions · halab versions k3s -o json")
@click.argument("distribution", required=False, type=click.Choice(DISTRIBUTIONS))
@option_output
def versions_command(distribution: str | None, output: str) -> None:
    """List the versions of each distribution that can be had here and now, and from where.

    A topology names one (`kubernetes: {version: v1.35.4}`, `kubernetes: {k3s: v1.34.6+k3s1}`);
    without one the default is used, marked *. The list has the newest version of each minor
    release, as the publishers' channels name it, and what is here already; other versions can be
    named, too.
    """
    from lab.cli import output as out
    from lab.images import available

    sources, here = _place()
    shelves = [
        shelf
        for shelf in available.look(sources, here)
        if distribution in {None, shelf.distribution}
    ]
    if output == "json":
        out.answer([asdict(shelf) for shelf in shelves])
        return
    rows = [_row(shelf, offer) for shelf in shelves for offer in shelf.versions]
    out.table(["DISTRIBUTION", "VERSION", "WHERE FROM", "CHANNELS"], rows)
    for shelf in shelves:
        hint(f"{shelf.distribution}: the default is {shelf.reason}{_stable(shelf)}")
    key = shelves[0].key if distribution else "kubernetes.version"
    hint(f"to use another one: halab start 3m3w --set {key}=VERSION")


def _place() -> tuple[Sources, Callable[[str], bool]]:
    """Return where images come from, and what tells whether a tag is here. Needs no engine."""
    from lab.base import paths

    try:
        connected = client.connect()
        here = connected.images()
    except LabError as error:
        hint(f"no engine answers, so images that are here are not listed: {error.message}")
        own = Sources(folder=paths.shipped("images"), cache=paths.cache(), arch=architecture())
        return own, lambda _: False
    return sources_for(connected), here.__contains__


def _row(shelf: Shelf, offer: Offer) -> list[str]:
    mark = " *" if offer.default else ""
    return [
        shelf.distribution,
        f"{offer.version}{mark}",
        ORIGINS.get(offer.way) or _nowhere(shelf),
        ", ".join(offer.channels),
    ]


def _nowhere(shelf: Shelf) -> str:
    if shelf.distribution == "k3s":
        return "not reached; give `images: {k3s_binary: PATH}`"
    return "not reached"


def _stable(shelf: Shelf) -> str:
    """Say which version the channel `stable` is at now, if it is not the default."""
    if not shelf.asked:
        return "; its channels cannot be reached from here"
    stable = next((offer for offer in shelf.versions if "stable" in offer.channels), None)
    if stable is None or stable.default:
        return ""
    return f"; `stable` is {stable.version} now"
