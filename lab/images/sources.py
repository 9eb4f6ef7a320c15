"""What images are made of: where it comes from, and their tags, which are hashes of all that goes in."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base import hashing, paths
from lab.base.errors import ImageError
from lab.base.hashing import digest, folder_hash
from lab.images import versions

if TYPE_CHECKING:
    from pathlib import Path

    from lab.engine.client import Engine
    from lab.topology.model import Topology


Wishes = tuple[tuple[str, str], ...]
BESIDE = ("loadbalancer", "bmc")
"""What every lab has beside its nodes."""
POD_PARTS = ("coredns", "pause")
STANDS_ON = {"rook": "ceph"}
"""Images of add-ons' pods that are built on another one's: their Dockerfile gets its tag in an
argument of its name, in capitals."""
UPSTREAM_PARTS = ("kubernetes", "containerd", "cni-plugins", "flannel", "coredns", "pause")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where images come from: the folder images/, the cache, and files of the user's."""

    folder: Path
    cache: Path
    arch: str
    k3s_binary: str = ""
    k3s_images: str = ""
    wished: Wishes = ()
    """Component → the version that the topology names, as pairs."""


def architecture(word: str = "") -> str:
    """Return an architecture in Go's and Debian's word: of the kernel's word, or this machine's.

    Raises ImageError for one that K3s has no release for.
    """
    words = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    machine = (word or platform.machine()).lower()
    if machine not in words:
        raise ImageError(
            f"no images for the architecture {machine}", "halab runs on amd64 and arm64"
        )
    return words[machine]


def sources_for(engine: Engine, topology: Topology | None = None) -> Sources:
    """Return where images come from, with the user's own files where a topology names them.

    For the engine's architecture: this program may run elsewhere, or be translated (Rosetta).
    """
    own = topology.images if topology else None
    return Sources(
        folder=paths.shipped("images"),
        cache=paths.cache(),
        arch=architecture(str(engine.about.get("Architecture", ""))),
        k3s_binary=own.k3s_binary if own else "",
        k3s_images=own.k3s_images if own else "",
        wished=wishes(topology) if topology else (),
    )


def wishes(topology: Topology) -> Wishes:
    """Return the versions that a topology names."""
    own = topology.kubernetes
    return (*wish("upstream", own.version), *wish("k3s", own.k3s))


def wish(distribution: str, version: str) -> Wishes:
    """Return the wish for a version of a distribution; none for an empty one."""
    component = {"upstream": "kubernetes", "k3s": "k3s"}[distribution]
    return ((component, version),) if version else ()


def table(sources: Sources) -> versions.Versions:
    """Return the table of versions, with those that the topology names."""
    return versions.read(sources.folder, dict(sources.wished))


def tags(sources: Sources) -> dict[str, str]:
    """Return every image's tag, word → `halab/<word>:<hash>`.

    Reads files only; touches neither network nor engine.
    """
    known = table(sources)

    def tag(word: str, *parts: str) -> str:
        return f"halab/{word}:{digest(' '.join((sources.arch, *parts)))}"

    def folder(word: str) -> str:
        return folder_hash(sources.folder / word)

    found = {"rootfs": tag("rootfs", known.release, known.digest)}
    found["base"] = tag("base", folder("base"), found["rootfs"])
    found["loadbalancer"] = tag(
        "loadbalancer", folder("loadbalancer"), folder("tools"), found["base"]
    )
    found["bmc"] = tag("bmc", folder("bmc"), found["base"])
    found["node"] = tag("node", folder("node"), folder("tools"), found["base"])
    parts = [repr(known.components[name]) for name in UPSTREAM_PARTS]
    inside = [part for word, name in known.pods.items() for part in (name, folder(f"pods/{word}"))]
    found["upstream"] = tag(
        "upstream", folder("upstream"), found["node"], *parts, *inside, folder("kubernetes")
    )
    files = [hashing.file_hash(path) for path in (sources.k3s_binary, sources.k3s_images) if path]
    own = [repr(known.components[name]) for name in ("k3s", *POD_PARTS)]
    found["k3s"] = tag("k3s", folder("k3s"), found["node"], *own, *inside, *files)
    for word, name in known.addons.items():
        row = known.components.get(word)
        made_of = [folder(row.directory)] if row and row.directory else []
        under = found[f"pods/{STANDS_ON[word]}"] if word in STANDS_ON else found["base"]
        found[f"pods/{word}"] = tag(
            f"pod-{word}", name, repr(row), folder(f"pods/{word}"), under, *made_of
        )
    return found
