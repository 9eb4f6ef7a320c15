"""images/versions.yaml as values: the one table of what is used in which version and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.base import yaml_files
from lab.topology import releases

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Files that a publisher gives: an archive, or one for each binary (`{binary}` in the address).

    `sha256` pins them, architecture → file → checksum; else the publisher's list is taken.
    `version` is theirs where it is not the component's.
    """

    url: str
    sha256_url: str
    binaries: tuple[str, ...]
    version: str = ""
    sha256: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def archive(self) -> bool:
        """Whether the binaries come together, in a tar."""
        return self.url.endswith((".tgz", ".tar.gz"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A program: its binaries (name → Go package), its module or own directory, and the published file, if there is one.

    `files` are taken from the module as they are (name → path in it). With both, a directory's go.mod requires the module.
    `blank` are packages of the module that are left empty. `published` is what is downloaded
    instead of built, with its own names; `pins` is the module whose version in a directory's go.mod
    is the component's.
    """

    name: str
    version: str
    binaries: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    module: str = ""
    directory: str = ""
    ldflags: str = ""
    blank: tuple[str, ...] = ()
    url: str = ""
    sha256_url: str = ""
    # Not in `repr`, and so not in images' tags: where a version comes from does not change it.
    published: tuple[Published, ...] = field(default=(), repr=False)
    pins: str = field(default="", repr=False)
    wished: bool = field(default=False, repr=False)
    """Whether the user names the version: then there may be none such."""

    def expand(self, text: str, arch: str) -> str:
        """Fill in {version}, {plain} and {arch}."""
        return (
            text.replace("{version}", self.version)
            .replace("{plain}", self.version.lstrip("v"))
            .replace("{arch}", arch)
        )

    def address(self, published: Published, text: str, arch: str, binary: str = "") -> str:
        """Fill in an address of what is published, {binary} too."""
        text = text.replace("{binary}", binary)
        return self.expand(text.replace("{version}", published.version or "{version}"), arch)

    def names(self, *, downloaded: bool) -> tuple[str, ...]:
        """Return the names of the files that it consists of, downloaded or built."""
        if downloaded:
            return tuple(name for row in self.published for name in row.binaries)
        return (*self.binaries, *self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The whole table."""

    release: str
    image: str
    digest: str
    components: dict[str, Component]
    pods: dict[str, str]
    addons: dict[str, str]

    def public(self, word: str) -> str:
        """Return the name that manifests use for the image of pods/<word>. Raises KeyError."""
        return {**self.pods, **self.addons}[word]


def _component(name: str, row: dict[str, Any], wished: str) -> Component:
    version = wished or row["version"]
    download, blank = row.pop("download", {}), tuple(row.pop("blank", ()))
    urls = {key: download.get(key, "") for key in ("url", "sha256_url")}
    rows = row.pop("published", [])
    if download:
        rows = [{**download, "binaries": [*row.get("binaries", {})]}]
    published = tuple(_published(one, other=version != row["version"]) for one in rows)
    if "{minor}" in row.get("ldflags", ""):
        row["ldflags"] = row["ldflags"].replace("{minor}", str(releases.minor(version)[1]))
    more = {**row, "version": version, "wished": bool(wished)}
    return Component(name=name, published=published, blank=blank, **urls, **more)


def _published(row: dict[str, Any], *, other: bool) -> Published:
    """Take what is published; checksums are of the table's version, and not of another one."""
    row["binaries"] = tuple(row["binaries"])
    if other and "version" not in row:
        row.pop("sha256", None)
    return Published(**row)


def read(folder: Path, wished: Mapping[str, str] | None = None) -> Versions:
    """Read images/versions.yaml. `wished` are versions that the user names instead."""
    path = folder / "versions.yaml"
    data = yaml_files.plain(path.read_text(), str(path))
    names = wished or {}
    components = {
        name: _component(name, dict(row), names.get(name, ""))
        for name, row in data["components"].items()
    }
    return Versions(
        **data["debian"], components=components, pods=data["pods"], addons=data["addons"]
    )
