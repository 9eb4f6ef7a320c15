"""What every recipe of an image works with: the engine, the sources, the tags, and `docker build`."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import ImageError, LabError
from lab.engine.labels import LABEL_IMAGE
from lab.images import components
from lab.images.sources import STANDS_ON, Sources, table, tags

if TYPE_CHECKING:
    from lab.base.progress import Reporter
    from lab.engine.client import Engine


def proxies() -> dict[str, str]:
    """Return the proxy settings of this process as build arguments; `docker build` predefines these names."""
    words = ("http_proxy", "https_proxy", "no_proxy")
    return {
        word: value for word in (*words, *map(str.upper, words)) if (value := os.environ.get(word))
    }


class Workbench:
    """An engine, the sources and a reporter: what a recipe needs to make an image."""

    def __init__(self, engine: Engine, sources: Sources, reporter: Reporter) -> None:
        """Use an engine, sources and a reporter; nothing happens yet."""
        self.engine, self.sources, self.reporter = engine, sources, reporter
        self.versions = table(sources)
        self.tags = tags(sources)

    def missing(self, *words: str) -> list[str]:
        """Return those of the named images that are not here."""
        return [word for word in words if not self.engine.has_image(self.tags[word])]

    def obtain(self, name: str) -> dict[str, Path]:
        """Return a component's binaries."""
        row = self.versions.components[name]
        return components.obtain(
            row, self.sources.cache, self.sources.folder, self.sources.arch, self.reporter
        )

    def stands_on(self, word: str) -> str:
        """Return the word of the image that a pod's image is built on; empty for Debian."""
        return STANDS_ON.get(word, "")

    def docker_build(
        self, word: str, context: Path | None = None, tag: str = "", **arguments: str
    ) -> None:
        """Run `docker build` on images/<word> (or a context made from it).

        On failure the error shows the log's tail.
        """
        log: list[str] = []
        try:
            for line in self.engine.build(
                str(context or self.sources.folder / word),
                tag or self.tags[word],
                {**proxies(), **arguments},
                {LABEL_IMAGE: word},
            ):
                log.append(line)
                if line.startswith("Step "):
                    self.reporter.say(word, line.strip()[:100])
        except LabError as error:
            kept = self.sources.cache / f"build-{word.replace('/', '-')}.log"
            kept.write_text("\n".join(log))
            tail = "\n".join(line for line in log if line.strip()).splitlines()[-15:]
            raise ImageError(
                f"{error}\n" + "\n".join(tail),
                f"the whole log is in {kept}; a retry goes on where it stopped",
            ) from error


def build_with_tools(bench: Workbench, word: str) -> None:
    """Build images/<word> with halab's own programs in its context: bin/halab-probe, which samples, and those of faults."""
    with tempfile.TemporaryDirectory(dir=bench.sources.cache) as folder:
        context = Path(shutil.copytree(bench.sources.folder / word, Path(folder) / "context"))
        (context / "bin").mkdir()
        for path in bench.obtain("tools").values():
            shutil.copy(path, context / "bin")
        bench.docker_build(word, context, BASE=bench.tags["base"])
