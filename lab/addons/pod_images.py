"""The images of add-ons' pods: pulled or built, and loaded into nodes.

Pulled under their public names where the registry is reached, else built here. In the engine an
image has the tag `halab/pod-<word>:<hash>`, in nodes that and the public name: so a node needs to
be asked for a name only.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import CommandFailed, EngineError, LabError
from lab.engine.labels import LABEL_IMAGE
from lab.images import pods, upstream
from lab.images.sources import STANDS_ON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lab.engine.node import NodeHandle
    from lab.images.builder import Builder

CTR = ("ctr", "-n", "k8s.io")
"""containerd's client and the CRI's namespace; K3s's `ctr` knows its own socket."""
AT_ONCE = 2
"""Nodes that import side by side: each unpacks with a core of the same machine."""
IMPORT_TIMEOUT_S = 300
CHUNK = 1024 * 1024
OWN = "halab/"


def full_name(name: str) -> str:
    """Return an image's name as containerd keeps it.

    `coredns/coredns:1` → `docker.io/coredns/coredns:1`.
    """
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


@dataclass(slots=True)
class PodImages:
    """Makes the images and brings them to nodes."""

    builder: Builder
    unreached: set[str] = field(default_factory=set)
    """Registries that did not answer: not asked again in this run."""

    def tag(self, word: str) -> str:
        """Return the engine's tag of an image. Raises KeyError."""
        return self.builder.tags[f"pods/{word}"]

    def way(self, word: str) -> str:
        """Tell how an image came: built, pulled, or missing."""
        if not self.builder.engine.has_image(self.tag(word)):
            return "missing"
        return "built" if LABEL_IMAGE in self.builder.engine.labels(self.tag(word)) else "pulled"

    def make(self, words: Iterable[str]) -> None:
        """Make what is missing, one after the other. Raises ImageError."""
        for word in words:
            if self.builder.engine.has_image(self.tag(word)):
                continue
            if not self._pull(word):
                self.builder.build_base()
                if word in STANDS_ON:
                    self.make([STANDS_ON[word]])
                pods.build_pod(self.builder, word, self.tag(word))
            self.builder.reporter.done(
                word, f"{self.builder.versions.public(word)}, {self.way(word)}"
            )

    def _pull(self, word: str) -> bool:
        name = self.builder.versions.public(word)
        registry = full_name(name).split("/", maxsplit=1)[0]
        if name.startswith(OWN) or registry in self.unreached:
            return False
        self.builder.reporter.say(word, f"fetching {name}")
        try:
            self.builder.engine.pull(name, self.tag(word))
        except EngineError:
            self.unreached.add(registry)
            self.builder.reporter.say(word, f"{registry} is not reached; built here")
            return False
        return True

    def load(
        self, nodes_by_image: Mapping[str, Sequence[str]], nodes: Iterable[NodeHandle]
    ) -> tuple[str, ...]:
        """Bring images to those of the given nodes that lack them; returns who got some.

        `nodes_by_image`: word → names of the nodes that need it. A node that stops meanwhile is
        left out: it gets them when it is started. Raises LabError for one that runs and cannot take
        them.
        """
        lacking: dict[tuple[str, ...], list[NodeHandle]] = {}
        for node in nodes:
            words = [word for word, names in nodes_by_image.items() if node.name in names]
            present = self._names(node) if words else frozenset()
            if present is None:
                continue
            missing = tuple(word for word in words if full_name(self.tag(word)) not in present)
            if missing:
                lacking.setdefault(missing, []).append(node)
        return tuple(name for words, group in lacking.items() for name in self._load(words, group))

    def _load(self, words: tuple[str, ...], nodes: list[NodeHandle]) -> tuple[str, ...]:
        """Bring the same images to several nodes: saved once, sent to each."""
        self.make(words)
        tags = [self.tag(word) for word in words]
        with tempfile.NamedTemporaryFile(dir=self.builder.sources.cache, suffix=".tar") as file:
            for chunk in self.builder.engine.save(tags, self.builder.sources.arch):
                file.write(chunk)
            file.flush()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                jobs = [pool.submit(self._import, node, Path(file.name), words) for node in nodes]
                return tuple(name for job in jobs if (name := job.result()))

    def _names(self, node: NodeHandle) -> frozenset[str] | None:
        """Return the names of the images that a node has.

        None where it cannot be asked because it does not run.
        """
        try:
            return frozenset(node.run([*CTR, "images", "ls", "-q"]).output.split())
        except LabError:
            if node.running:
                raise
            return None

    def _import(self, node: NodeHandle, tar: Path, words: tuple[str, ...]) -> str:
        report = self.builder.reporter
        report.say(node.name, f"loading {', '.join(words)} ({tar.stat().st_size / 1e6:.0f} MB)")
        try:
            only = upstream.one_platform(self.builder.sources.arch)
            argv = [*CTR, "images", "import", *only, "-"]
            node.run(argv, stdin=_chunks(tar), timeout_s=IMPORT_TIMEOUT_S)
            for word in words:
                public = self.builder.versions.public(word)
                node.run(
                    [*CTR, "images", "tag", "--force", full_name(self.tag(word)), full_name(public)]
                )
        except (CommandFailed, EngineError):
            if node.running:
                raise
            report.done(node.name, "stopped meanwhile: it gets the images when it is started")
            return ""
        report.done(node.name, f"has {', '.join(words)}")
        return node.name


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(CHUNK):
            yield chunk
