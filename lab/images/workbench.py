"""What every recipe of an image works with: engine, sources, tags and `docker build`."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import ImageError, LabError
from lab.engine.labels import LABEL_IMAGE
from lab.images.sources import BASE_IMAGES, Sources, table, tags

if TYPE_CHECKING:
    from lab.base.progress import Reporter
    from lab.engine.client import Engine


def proxies() -> dict[str, str]:
    """Return this process's proxy settings as build arguments, which `docker build` predefines."""
    lower = ("http_proxy", "https_proxy", "no_proxy")
    names = (*lower, *(name.upper() for name in lower))
    return {name: os.environ[name] for name in names if os.environ.get(name)}


class Workbench:
    """An engine, sources and a reporter: what a recipe needs to make an image."""

    def __init__(self, engine: Engine, sources: Sources, reporter: Reporter) -> None:
        """Use an engine, sources and a reporter. It computes the tags and asks nobody yet."""
        self.engine, self.sources, self.reporter = engine, sources, reporter
        self.versions = table(sources)
        self.tags = tags(sources, self.versions)

    def missing(self, *images: str) -> list[str]:
        """Return those of the named images that the engine does not have."""
        return [image for image in images if not self.engine.has_image(self.tags[image])]

    def obtain(self, name: str) -> dict[str, Path]:
        """Return a component's binaries, name → path. Raises ImageError if they cannot be made."""
        # Imported late: most starts find all images here.
        from lab.images import components

        row = self.versions.components[name]
        return components.obtain(
            row, self.sources.cache, self.sources.folder, self.sources.arch, self.reporter
        )

    def stands_on(self, pod: str) -> str:
        """Return the pod whose image a pod's image is built on; "" for Debian."""
        return BASE_IMAGES.get(pod, "")

    def docker_build(
        self, image: str, context: Path | None = None, tag: str = "", **arguments: str
    ) -> None:
        """Run `docker build` on images/<image>, or on a context made from it.

        Raises ImageError with the log's tail; the whole log is kept in the cache.
        """
        folder = str(context or self.sources.folder / image)
        log: list[str] = []
        try:
            for line in self.engine.build(
                folder, tag or self.tags[image], {**proxies(), **arguments}, {LABEL_IMAGE: image}
            ):
                log.append(line)
                if line.startswith("Step "):
                    self.reporter.say(image, line.strip()[:100])
        except LabError as error:
            file = self.sources.cache / f"build-{image.replace('/', '-')}.log"
            file.write_text("\n".join(log))
            tail = "\n".join(line for line in log if line.strip()).splitlines()[-15:]
            raise ImageError(
                f"{error}\n" + "\n".join(tail),
                f"the whole log is in {file}; a retry goes on where this one stopped",
            ) from error


def build_with_tools(bench: Workbench, image: str) -> None:
    """Build images/<image> with halab's own programs in its context.

    These are bin/halab-probe, which takes samples, and the programs of faults.
    """
    with tempfile.TemporaryDirectory(dir=bench.sources.cache) as folder:
        context = Path(shutil.copytree(bench.sources.folder / image, Path(folder) / "context"))
        (context / "bin").mkdir()
        for path in bench.obtain("tools").values():
            shutil.copy(path, context / "bin")
        bench.docker_build(image, context, BASE=bench.tags["base"])
