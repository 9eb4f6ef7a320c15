"""images/versions.yaml as values: which version of what is used, and where it comes from."""

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
    """A publisher's files: an archive, or a file for each binary."""

    url: str
    """With {version}, {plain} and {arch} to be filled in; {binary} for a file for each."""
    sha256_url: str
    """The publisher's list of checksums, for files that `sha256` does not pin."""
    binaries: tuple[str, ...]
    version: str = ""
    """Their own, if it is not the component's."""
    sha256: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Architecture → file → checksum."""

    @property
    def archive(self) -> bool:
        """Whether the binaries come together, in a tar."""
        return self.url.endswith((".tgz", ".tar.gz"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A program that goes into images. Its `repr` is part of their tags."""

    name: str
    version: str
    binaries: dict[str, str] = field(default_factory=dict)
    """A binary's name → its Go package."""
    files: dict[str, str] = field(default_factory=dict)
    """A file's name → the path in the module from which it is taken as it is."""
    module: str = ""
    """Its Go module. If there is a directory, too, that one's go.mod requires the module."""
    directory: str = ""
    """Its sources under images/."""
    ldflags: str = ""
    blank: tuple[str, ...] = ()
    """Packages of the module that are left empty."""
    url: str = ""
    sha256_url: str = ""
    # These are not in `repr`, and so not in images' tags: where a version comes from does not
    # change it.
    published: tuple[Published, ...] = field(default=(), repr=False)
    """What is downloaded instead of built, with names of its own."""
    pins: str = field(default="", repr=False)
    """The module whose version in the directory's go.mod is the component's."""
    wished: bool = field(default=False, repr=False)
    """Whether the user names the version, which then may not exist."""

    def expand(self, text: str, arch: str) -> str:
        """Fill in {version}, {plain} (the version without its `v`) and {arch}."""
        return (
            text.replace("{version}", self.version)
            .replace("{plain}", self.version.lstrip("v"))
            .replace("{arch}", arch)
        )

    def address(self, published: Published, text: str, arch: str, binary: str = "") -> str:
        """Fill in an address of what is published, {binary} included."""
        text = text.replace("{binary}", binary)
        return self.expand(text.replace("{version}", published.version or "{version}"), arch)

    def names(self, *, downloaded: bool) -> tuple[str, ...]:
        """Return the names of its files, which depend on whether it is downloaded or built."""
        if downloaded:
            return tuple(name for row in self.published for name in row.binaries)
        return (*self.binaries, *self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The whole of images/versions.yaml."""

    release: str
    """Debian's code name."""
    image: str
    """Debian's image, and its digest."""
    digest: str
    components: dict[str, Component]
    pods: dict[str, str]
    """A folder under images/pods → the image's name in manifests, for every node."""
    addons: dict[str, str]
    """The same for the pods of add-ons."""

    def public(self, name: str) -> str:
        """Return the name that manifests use for the image of images/pods/<name>.

        Raises KeyError if there is no such image.
        """
        return {**self.pods, **self.addons}[name]


def _component(name: str, row: dict[str, Any], wished: str) -> Component:
    version = wished or row["version"]
    download, blank = row.pop("download", {}), tuple(row.pop("blank", ()))
    urls = {key: download.get(key, "") for key in ("url", "sha256_url")}
    rows = row.pop("published", [])
    if download:
        rows = [{**download, "binaries": [*row.get("binaries", {})]}]
    published = tuple(_published(each, other=version != row["version"]) for each in rows)
    if "{minor}" in row.get("ldflags", ""):
        row["ldflags"] = row["ldflags"].replace("{minor}", str(releases.minor(version)[1]))
    more = {**row, "version": version, "wished": bool(wished)}
    return Component(name=name, published=published, blank=blank, **urls, **more)


def _published(row: dict[str, Any], *, other: bool) -> Published:
    """Read what is published. The checksums hold for the table's version, and for no other one."""
    row["binaries"] = tuple(row["binaries"])
    if other and "version" not in row:
        row.pop("sha256", None)
    return Published(**row)


def read(folder: Path, wished: Mapping[str, str] | None = None) -> Versions:
    """Read images/versions.yaml. `wished` maps a component to the version that the user names."""
    path = folder / "versions.yaml"
    data = yaml_files.shipped(path.read_text(), str(path))
    names = wished or {}
    components = {
        name: _component(name, dict(row), names.get(name, ""))
        for name, row in data["components"].items()
    }
    return Versions(
        **data["debian"], components=components, pods=data["pods"], addons=data["addons"]
    )
