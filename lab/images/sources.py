"""Where images come from, and their tags, which are hashes of all that goes into them."""

from __future__ import annotations

import functools
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
COMMON_IMAGES = ("loadbalancer", "bmc")
"""The images that every lab needs beside its distribution's."""
CORE_POD_COMPONENTS = ("coredns", "pause")
"""The components of halab's own pods, which every node image holds."""
BASE_IMAGES = {"rook": "ceph"}
"""Images of add-ons' pods that are built on another's. Their Dockerfile gets that one's tag in an
argument of its name, in capitals."""
UPSTREAM_COMPONENTS = ("kubernetes", "containerd", "cni-plugins", "flannel", "coredns", "pause")
"""The components in the node image with upstream Kubernetes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where images come from."""

    folder: Path
    """images/, with their recipes."""
    cache: Path
    arch: str
    """The engine's architecture, as Go and Debian call it: amd64 or arm64."""
    k3s_binary: str = ""
    """The user's own K3s; "" for a release's."""
    k3s_images: str = ""
    """The user's own archive of K3s's packaged components; "" for a release's."""
    wished: Wishes = ()
    """Pairs of a component and its version that the topology names."""
    source: str = ""
    """The file that says which images may be pulled; "" for none."""


def architecture(machine: str = "") -> str:
    """Return Go's and Debian's name for a kernel's architecture, by default this machine's.

    Raises ImageError for one that K3s has no release for.
    """
    names = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    machine = (machine or platform.machine()).lower()
    if machine not in names:
        raise ImageError(
            f"there are no images for the architecture {machine}", "halab runs on amd64 and arm64"
        )
    return names[machine]


def sources_for(engine: Engine, topology: Topology | None = None) -> Sources:
    """Return where images come from, with the user's own files if the topology names any.

    They are for the engine's architecture: this program may run elsewhere, or be translated
    (Rosetta).
    """
    own = topology.images if topology else None
    return Sources(
        folder=paths.shipped("images"),
        cache=paths.cache(),
        arch=architecture(str(engine.about.get("Architecture", ""))),
        k3s_binary=own.k3s_binary if own else "",
        k3s_images=own.k3s_images if own else "",
        wished=wishes(topology) if topology else (),
        source=own.source if own else "",
    )


def wishes(topology: Topology) -> Wishes:
    """Return the versions that a topology names."""
    own = topology.kubernetes
    return (*wish("upstream", own.version), *wish("k3s", own.k3s))


def wish(distribution: str, version: str) -> Wishes:
    """Return the wish for a distribution's version; none for an empty one."""
    component = {"upstream": "kubernetes", "k3s": "k3s"}[distribution]
    return ((component, version),) if version else ()


def table(sources: Sources) -> versions.Versions:
    """Return the table of versions, with those that the topology names instead of the default."""
    return versions.read(sources.folder, dict(sources.wished))


def tags(sources: Sources, known: versions.Versions | None = None) -> dict[str, str]:
    """Return every image's tag: name → `halab/<name>:<hash>`.

    It reads files only, and asks neither the network nor the engine. `known` is the sources' table,
    if the caller has read it already.
    """
    known = table(sources) if known is None else known

    def tag(name: str, *parts: str) -> str:
        return f"halab/{name}:{digest(' '.join((sources.arch, *parts)))}"

    @functools.cache  # images share folders
    def folder(name: str) -> str:
        return folder_hash(sources.folder / name)

    made = {"rootfs": tag("rootfs", known.release, known.digest)}
    made["base"] = tag("base", folder("base"), made["rootfs"])
    made["loadbalancer"] = tag(
        "loadbalancer", folder("loadbalancer"), folder("tools"), made["base"]
    )
    made["bmc"] = tag("bmc", folder("bmc"), made["base"])
    made["node"] = tag("node", folder("node"), folder("tools"), made["base"])
    parts = [repr(known.components[name]) for name in UPSTREAM_COMPONENTS]
    pods = [part for name, image in known.pods.items() for part in (image, folder(f"pods/{name}"))]
    made["upstream"] = tag(
        "upstream", folder("upstream"), made["node"], *parts, *pods, folder("kubernetes")
    )
    files = [hashing.file_hash(path) for path in (sources.k3s_binary, sources.k3s_images) if path]
    own = [repr(known.components[name]) for name in ("k3s", *CORE_POD_COMPONENTS)]
    made["k3s"] = tag("k3s", folder("k3s"), made["node"], *own, *pods, *files)
    for name, image in known.addons.items():
        row = known.components.get(name)
        program = [folder(row.directory)] if row and row.directory else []
        base = made[f"pods/{BASE_IMAGES[name]}"] if name in BASE_IMAGES else made["base"]
        made[f"pods/{name}"] = tag(
            f"pod-{name}", image, repr(row), folder(f"pods/{name}"), base, *program
        )
    return made
