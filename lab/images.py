"""The images of a lab: what they are made of, their tags (hashes of all that goes in), and building them.

rootfs ← base ← node ← upstream | k3s;  base ← loadbalancer, bmc;  the pods' images go into `upstream`, unpacked.
"""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab import components, imagework, k3s_image, versions
from lab.base import hashing, paths
from lab.base.errors import ApplyError, ImageError, LabError
from lab.base.hashing import digest, folder_hash
from lab.engine.labels import LABEL_IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.topology.model import Topology

Wishes = tuple[tuple[str, str], ...]
BESIDE = ("loadbalancer", "bmc")
"""What every lab has beside its nodes."""
POD_PARTS = ("coredns", "pause")
STANDS_ON = {"rook": "ceph"}
"""Images of add-ons' pods that are built on another one's: their Dockerfile gets its tag in an argument of its name, in capitals."""
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
    """Give an architecture in Go's and Debian's word: of the kernel's word, or this machine's.

    Raises ImageError for one that K3s has no release for.
    """
    words = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    machine = (word or platform.machine()).lower()
    if machine not in words:
        raise ImageError(f"no images for the architecture {machine}", "halab runs on amd64 and arm64")
    return words[machine]


def sources(engine: Engine, topology: Topology | None = None) -> Sources:
    """Give where images come from, with the user's own files where a topology names them.

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
    """Give the versions that a topology names."""
    own = topology.kubernetes
    return (*wish("upstream", own.version), *wish("k3s", own.k3s))


def wish(distribution: str, version: str) -> Wishes:
    """Give the wish for a version of a distribution; none for an empty one."""
    component = {"upstream": "kubernetes", "k3s": "k3s"}[distribution]
    return ((component, version),) if version else ()


def table(sources: Sources) -> versions.Versions:
    """Give the table of versions, with those that the topology names."""
    return versions.read(sources.folder, dict(sources.wished))


def tags(sources: Sources) -> dict[str, str]:
    """Give every image's tag, word → `halab/<word>:<hash>`. Reads files only; touches neither network nor engine."""
    known = table(sources)

    def tag(word: str, *parts: str) -> str:
        return f"halab/{word}:{digest(' '.join((sources.arch, *parts)))}"

    def folder(word: str) -> str:
        return folder_hash(sources.folder / word)

    found = {"rootfs": tag("rootfs", known.release, known.digest)}
    found["base"] = tag("base", folder("base"), found["rootfs"])
    found["loadbalancer"] = tag("loadbalancer", folder("loadbalancer"), folder("tools"), found["base"])
    found["bmc"] = tag("bmc", folder("bmc"), found["base"])
    found["node"] = tag("node", folder("node"), folder("tools"), found["base"])
    parts = [repr(known.components[name]) for name in UPSTREAM_PARTS]
    inside = [part for word, name in known.pods.items() for part in (name, folder(f"pods/{word}"))]
    found["upstream"] = tag("upstream", folder("upstream"), found["node"], *parts, *inside, folder("kubernetes"))
    files = [hashing.file_hash(path) for path in (sources.k3s_binary, sources.k3s_images) if path]
    own = [repr(known.components[name]) for name in ("k3s", *POD_PARTS)]
    found["k3s"] = tag("k3s", folder("k3s"), found["node"], *own, *inside, *files)
    for word, name in known.addons.items():
        row = known.components.get(word)
        made_of = [folder(row.directory)] if row and row.directory else []
        under = found[f"pods/{STANDS_ON[word]}"] if word in STANDS_ON else found["base"]
        found[f"pods/{word}"] = tag(f"pod-{word}", name, repr(row), folder(f"pods/{word}"), under, *made_of)
    return found


class Builder:
    """Builds what is missing, independent parts side by side."""

    def __init__(self, engine: Engine, sources: Sources, reporter: Reporter) -> None:
        """Use an engine, sources and a reporter; nothing happens yet."""
        self.engine, self.sources, self.reporter = engine, sources, reporter
        self.versions = table(sources)
        self.tags = tags(sources)

    def missing(self, *words: str) -> list[str]:
        """Give those of the named images that are not here."""
        return [word for word in words if not self.engine.has_image(self.tags[word])]

    def build(self, distribution: str) -> None:
        """Make the images of a distribution and the load balancer; what is here already is left alone."""
        wanted = self.missing(*BESIDE, distribution)
        if not wanted:
            return
        if distribution == "k3s" and self.missing("k3s"):
            k3s_image.binary(self)  # first: what cannot be had must not cost minutes of building
        # The machine part (packages) waits for the network, the binaries for the processor: side by side.
        self._together([lambda: self._machines(distribution), lambda: self._parts(distribution)])
        if distribution == "k3s":
            self._ensure("k3s", lambda: k3s_image.build(self))
        else:
            self._ensure("upstream", lambda: imagework.build_upstream(self))

    def build_base(self) -> None:
        """Make the Debian that everything stands on."""
        self._ensure("rootfs", lambda: imagework.make_rootfs(self))
        self._ensure("base", lambda: self.docker_build("base", ROOTFS=self.tags["rootfs"]))

    def stands_on(self, word: str) -> str:
        """Give the word of the image that a pod's image is built on; empty for Debian."""
        return STANDS_ON.get(word, "")

    def obtain(self, name: str) -> dict[str, Path]:
        """Give a component's binaries."""
        row = self.versions.components[name]
        return components.obtain(row, self.sources.cache, self.sources.folder, self.sources.arch, self.reporter)

    def _machines(self, distribution: str) -> None:
        self.build_base()
        self._ensure("loadbalancer", lambda: imagework.build_with_tools(self, "loadbalancer"))
        self._ensure("bmc", lambda: self.docker_build("bmc", BASE=self.tags["base"]))
        if self.missing(distribution):
            self._ensure("node", lambda: imagework.build_with_tools(self, "node"))

    def _parts(self, distribution: str) -> None:
        parts = {"upstream": UPSTREAM_PARTS, "k3s": POD_PARTS}[distribution]
        for name in parts if self.missing(distribution) else ():
            self.obtain(name)

    def _ensure(self, word: str, make: Callable[[], None]) -> None:
        if self.missing(word):
            self.reporter.say(word, "building")
            make()
        self.reporter.done(word, self.tags[word])

    def docker_build(self, word: str, context: Path | None = None, tag: str = "", **arguments: str) -> None:
        """Run `docker build` on images/<word> (or a context made from it). On failure the error shows the log's tail."""
        log: list[str] = []
        proxies = imagework.proxies()
        try:
            for line in self.engine.build(
                str(context or self.sources.folder / word), tag or self.tags[word], {**proxies, **arguments}, {LABEL_IMAGE: word}
            ):
                log.append(line)
                if line.startswith("Step "):
                    self.reporter.say(word, line.strip()[:100])
        except LabError as error:
            kept = self.sources.cache / f"build-{word.replace('/', '-')}.log"
            kept.write_text("\n".join(log))
            tail = "\n".join(line for line in log if line.strip()).splitlines()[-15:]
            raise ImageError(f"{error}\n" + "\n".join(tail), f"the whole log is in {kept}; a retry goes on where it stopped") from error

    def _together(self, jobs: list[Callable[[], None]]) -> None:
        """Run jobs side by side; all end before any failure is told."""
        with ThreadPoolExecutor(len(jobs)) as pool:
            futures = [pool.submit(job) for job in jobs]
            errors = [error for future in futures if isinstance(error := future.exception(), Exception)]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ApplyError(tuple(errors))
