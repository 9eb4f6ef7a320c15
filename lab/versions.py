"""images/versions.yaml as values: the one table of what is used in which version and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.topology import reader

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A program: its binaries (name → Go package), its module or own directory, and the published file, if there is one.

    `files` are taken from the module as they are (name → path in it). With both, a directory's go.mod requires the module.
    `blank` are packages of the module that are left empty.
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

    def expand(self, text: str, arch: str) -> str:
        """Fill in {version}, {plain} and {arch}."""
        return text.replace("{version}", self.version).replace("{plain}", self.version.lstrip("v")).replace("{arch}", arch)


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
        """Give the name that manifests use for the image of pods/<word>. Raises KeyError."""
        return {**self.pods, **self.addons}[word]


def _component(name: str, row: dict[str, Any]) -> Component:
    download, blank = row.pop("download", {}), tuple(row.pop("blank", ()))
    urls = {key: download.get(key, "") for key in ("url", "sha256_url")}
    return Component(name=name, **urls, blank=blank, **row)


def read(folder: Path) -> Versions:
    """Read images/versions.yaml."""
    path = folder / "versions.yaml"
    data = reader.plain(path.read_text(), str(path))
    components = {name: _component(name, dict(row)) for name, row in data["components"].items()}
    return Versions(**data["debian"], components=components, pods=data["pods"], addons=data["addons"])
