"""`images.source`: a registry's repository from which node images are pulled instead of built.

The file that it names pins each image by digest, so that a registry can give nothing else. Which
registry that is, only the user says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.base import yaml_files
from lab.base.errors import EngineError, InputError
from lab.base.messages import shown
from lab.images.sources import architecture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lab.images.workbench import Workbench

SUBJECT = "images.source"
"""The subject of its progress lines."""
KEYS = {"repository", "digests"}
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9._-]+)*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_OWN = "halab/"


@dataclass(frozen=True, slots=True)
class ImageSource:
    """A repository, and the images in it that may be used."""

    repository: str
    digests: Mapping[str, str]
    """An image's tag here, without `halab/` → the digest that it has there."""


def read(path: Path) -> ImageSource:
    """Read the file. Raises InputError, or TopologyError for what is no YAML."""
    try:
        data = yaml_files.plain(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        hint = "it is the file that images.source names"
        raise InputError(f"{path} cannot be read: {error}", hint) from None
    if not isinstance(data, dict) or set(data) != KEYS or not isinstance(data["digests"], dict):
        hint = "`repository: HOST/PATH`, and under `digests:` a line `NAME:TAG: sha256:…` an image"
        raise InputError(f"{path} must have the keys `repository` and `digests`", hint)
    _check(path, data["repository"], _REPOSITORY, "registry.example/halab, without a tag")
    for tag, digest in data["digests"].items():
        _check(path, digest, _DIGEST, f"`{shown(tag)}: sha256:` and 64 hex digits")
    return ImageSource(data["repository"], data["digests"])


def _check(path: Path, text: Any, pattern: re.Pattern[str], example: str) -> None:  # noqa: ANN401 (YAML)
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise InputError(f"{path} has `{shown(str(text))}`", f"it must be like {example}")


def fetch(bench: Workbench, images: Iterable[str]) -> None:
    """Pull what the source has of these images; whatever else there is will be built.

    The first refusal ends it: a registry that is away is waited for once.
    """
    if not bench.sources.source:
        return
    source = read(Path(bench.sources.source))
    for image in images:
        if reason := _refusal(bench, source, image):
            bench.reporter.say(SUBJECT, f"{reason}: building what is missing here")
            return
        bench.reporter.done(image, f"{bench.tags[image]}, pulled from {source.repository}")


def _refusal(bench: Workbench, source: ImageSource, image: str) -> str:
    """Pull an image by its digest; return why that is not possible, empty if it is here."""
    tag = bench.tags[image]
    digest = source.digests.get(tag.removeprefix(_OWN))
    if digest is None:
        return f"{bench.sources.source} has no digest of {tag.removeprefix(_OWN)}"
    reference = f"{source.repository}@{digest}"
    bench.reporter.say(image, f"fetching {reference}")
    try:
        bench.engine.pull(reference, tag)
        inspected = bench.engine.image(tag) or {}
    except EngineError as error:
        return f"{image} is not pulled ({error.message.splitlines()[0]})"
    made_for = architecture(str(inspected.get("Architecture", "")))
    if made_for == bench.sources.arch:
        return ""
    bench.engine.remove_image(tag)  # else it would be taken for the one that is built here
    return f"{reference} is for {made_for}, not {bench.sources.arch}"
