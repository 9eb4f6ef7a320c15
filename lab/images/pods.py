"""The images of pods: built from Debian and a component's binaries, saved as archives."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.images.workbench import Workbench


def pods(bench: Workbench, context: Path) -> None:
    """Build each pod's image and save it under the name that manifests use."""
    (context / "images").mkdir()
    for word, name in bench.versions.pods.items():
        build_pod(bench, word, name)
        with (context / "images" / f"{word}.tar").open("wb") as tar:
            for chunk in bench.engine.save([name], bench.sources.arch):
                tar.write(chunk)


def build_pod(bench: Workbench, word: str, tag: str) -> None:
    """Build one pod's image from images/pods/<word> and the binaries of the component of that name, if there is one."""
    with tempfile.TemporaryDirectory(dir=bench.sources.cache) as folder:
        pod = Path(shutil.copytree(bench.sources.folder / "pods" / word, Path(folder) / "context"))
        if word in bench.versions.components:
            for path in bench.obtain(word).values():
                shutil.copy(path, pod)
        bench.reporter.say(word, f"building {tag}")
        under = {"BASE": bench.tags["base"]}
        if other := bench.stands_on(word):
            under = {other.upper(): bench.tags[f"pods/{other}"]}
        bench.docker_build(f"pods/{word}", pod, tag=tag, **under)
