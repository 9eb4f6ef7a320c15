"""What a tar of images holds, as `docker save`, Podman and Buildah write it. Unpacks nothing."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from lab.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DOCKER = "manifest.json"
"""Docker's own list (Image Specification v1.2): names and configurations."""
OCI = "index.json"
"""The OCI image layout's list; Docker has written both since 25."""
NAME = "io.containerd.image.name"
"""The annotation that containerd takes a name from: a full one, which OCI's own need not be."""
MAX_LIST = 4 * 1024 * 1024
"""A list of a thousand images has some 300 KB."""


PACKERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""What a packed file begins with → what unpacks it."""


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image under one name, as containerd keeps it, and what tells it from an older one."""

    name: str
    id: str
    """Hex digits: of the configuration where that is known, else of the manifest."""


def full_name(name: str) -> str:
    """Return an image's name as containerd keeps it.

    `coredns/coredns:1` → `docker.io/coredns/coredns:1`.
    """
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def with_tag(name: str) -> str:
    """Return the full name; without a tag it means `latest`, as for Docker."""
    full = full_name(name)
    return full if ":" in full.rsplit("/", 1)[-1] else f"{full}:latest"


def read(path: Path) -> tuple[NamedImage, ...]:
    """Return the images of a tar, which may be packed by gzip, bzip2 or xz.

    Raises InputError for a file that is no such tar, or holds no image with a name.
    """
    hint = "`docker save -o app.tar IMAGE` writes one"
    try:
        lists = _lists(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}",
            "is it complete, and yours to read?",
        ) from None
    except (tarfile.TarError, EOFError):
        raise InputError(
            f"{path} is not a tar of images: it is not a tar, or its end is missing", hint
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is not a tar of images: {error}", hint) from None
    if not lists:
        raise InputError(f"{path} is a tar, but it holds no images", hint)
    try:
        images = _of_docker(lists[DOCKER]) if DOCKER in lists else _of_oci(lists[OCI])
    except (AttributeError, KeyError, TypeError):
        raise InputError(
            f"{path} is not a tar of images: its list is in no known form", hint
        ) from None
    if not images:
        remedy = "`docker load` it, `docker tag` it, and load it by that name"
        raise InputError(f"{path} holds no image that has a name", remedy)
    return images


def unpacked(path: Path) -> IO[bytes]:
    """Open a tar; what is read is not packed. `ctr images import --local` takes no other."""
    with path.open("rb") as file:
        begin = file.read(8)
    for magic, opened in PACKERS.items():
        if begin.startswith(magic):
            return cast("IO[bytes]", opened(path, "rb"))
    return path.open("rb")


def _lists(path: Path) -> dict[str, Any]:
    lists: dict[str, Any] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name in {DOCKER, OCI} and (file := archive.extractfile(member)):
                lists[name] = _json(file)
    return lists


def _json(file: IO[bytes]) -> Any:  # noqa: ANN401 (JSON)
    data = file.read(MAX_LIST + 1)
    if len(data) > MAX_LIST:
        raise ValueError("its list of images is larger than 4 MiB")
    return json.loads(data)


def _of_docker(rows: list[dict[str, Any]]) -> tuple[NamedImage, ...]:
    return tuple(
        NamedImage(with_tag(name), row["Config"].rsplit("/", 1)[-1].removesuffix(".json"))
        for row in rows
        for name in row.get("RepoTags") or []
    )


def _of_oci(index: dict[str, Any]) -> tuple[NamedImage, ...]:
    return tuple(
        NamedImage(row["annotations"][NAME], row["digest"].rpartition(":")[2])
        for row in index["manifests"]
        if NAME in (row.get("annotations") or {})
    )
