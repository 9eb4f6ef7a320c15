"""The images of add-ons' pods: pulled or built, and loaded into nodes.

They are pulled under their public names if the registry answers, and built here otherwise. In the
engine an image has the tag `halab/pod-<name>:<hash>`; in nodes it has this tag and its public name.
So a node is only asked for a tag.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import EngineError
from lab.engine.labels import LABEL_IMAGE
from lab.images import pods
from lab.images.archive import full_name
from lab.images.sources import BASE_IMAGES
from lab.live import node_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lab.engine.node import NodeHandle
    from lab.images.builder import Builder

OWN = "halab/"


@dataclass(slots=True)
class PodImages:
    """Pulls or builds the images, and loads them into nodes."""

    builder: Builder
    unreached: set[str] = field(default_factory=set)
    """Registries that did not answer: not asked again in this run."""

    def tag(self, image: str) -> str:
        """Return the engine's tag of an image. Raises KeyError."""
        return self.builder.tags[f"pods/{image}"]

    def origin(self, image: str) -> str:
        """Return where an image is from: built, pulled, or missing."""
        if not self.builder.engine.has_image(self.tag(image)):
            return "missing"
        return "built" if LABEL_IMAGE in self.builder.engine.labels(self.tag(image)) else "pulled"

    def make(self, images: Iterable[str]) -> None:
        """Pull or build what is missing, one after the other. Raises ImageError."""
        for image in images:
            if self.builder.engine.has_image(self.tag(image)):
                continue
            if not self._pull(image):
                self.builder.build_base()
                if image in BASE_IMAGES:
                    self.make([BASE_IMAGES[image]])
                pods.build_pod(self.builder, image, self.tag(image))
            public = self.builder.versions.public(image)
            self.builder.reporter.done(image, f"{public}, {self.origin(image)}")

    def _pull(self, image: str) -> bool:
        public = self.builder.versions.public(image)
        registry = full_name(public).split("/", maxsplit=1)[0]
        if public.startswith(OWN) or registry in self.unreached:
            return False
        self.builder.reporter.say(image, f"fetching {public}")
        try:
            self.builder.engine.pull(public, self.tag(image))
        except EngineError:
            self.unreached.add(registry)
            self.builder.reporter.say(image, f"{registry} does not answer; building it here")
            return False
        return True

    def load(
        self, nodes_by_image: Mapping[str, Sequence[str]], nodes: Iterable[NodeHandle]
    ) -> tuple[str, ...]:
        """Bring images to those of the given nodes that lack them; return the nodes that got some.

        `nodes_by_image`: image → names of the nodes that need it. A node that stops meanwhile is
        left out: it gets them when it is started. Raises LabError if one runs and cannot take them.
        """
        lacking: dict[tuple[str, ...], list[NodeHandle]] = {}
        for node in nodes:
            needed = [image for image, names in nodes_by_image.items() if node.name in names]
            present = node_images.names(node) if needed else frozenset()
            if present is None:
                continue
            missing = tuple(one for one in needed if full_name(self.tag(one)) not in present)
            if missing:
                lacking.setdefault(missing, []).append(node)
        return tuple(
            name for images, group in lacking.items() for name in self._load(images, group)
        )

    def _load(self, images: tuple[str, ...], nodes: list[NodeHandle]) -> tuple[str, ...]:
        """Bring the same images to several nodes: saved once, sent to each."""
        self.make(images)
        tags = [self.tag(image) for image in images]
        with tempfile.NamedTemporaryFile(dir=self.builder.sources.cache, suffix=".tar") as file:
            for chunk in self.builder.engine.save(tags, self.builder.sources.arch):
                file.write(chunk)
            file.flush()
            with ThreadPoolExecutor(node_images.AT_ONCE) as pool:
                jobs = [pool.submit(self._import, node, Path(file.name), images) for node in nodes]
                return tuple(name for job in jobs if (name := job.result()))

    def _import(self, node: NodeHandle, tar: Path, images: tuple[str, ...]) -> str:
        report = self.builder.reporter
        report.say(node.name, f"loading {', '.join(images)} ({tar.stat().st_size / 1e6:.0f} MB)")
        aliases = {
            full_name(self.builder.versions.public(image)): full_name(self.tag(image))
            for image in images
        }
        if not node_images.put(node, tar, self.builder.sources.arch, aliases):
            report.done(node.name, "stopped meanwhile: it gets the images when it is started")
            return ""
        report.done(node.name, f"has {', '.join(images)}")
        return node.name
