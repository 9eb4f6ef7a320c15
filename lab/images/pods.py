"""The images of pods: built on Debian with a component's binaries, and saved as archives."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.images.workbench import Workbench


def pods(bench: Workbench, context: Path) -> None:
    """Build the image of each of halab's own pods; save it to images/<name>.tar of a context.

    In the archive it has the tag that manifests use.
    """
    (context / "images").mkdir()
    for name, tag in bench.versions.pods.items():
        build_pod(bench, name, tag)
        with (context / "images" / f"{name}.tar").open("wb") as tar:
            for chunk in bench.engine.save([tag], bench.sources.arch):
                tar.write(chunk)


def build_pod(bench: Workbench, name: str, tag: str) -> None:
    """Build one pod's image from images/pods/<name>.

    If there is a component of that name, its binaries are in the build's context.
    """
    with tempfile.TemporaryDirectory(dir=bench.sources.cache) as folder:
        pod = Path(shutil.copytree(bench.sources.folder / "pods" / name, Path(folder) / "context"))
        if name in bench.versions.components:
            for path in bench.obtain(name).values():
                shutil.copy(path, pod)
        bench.reporter.say(name, f"building {tag}")
        base = {"BASE": bench.tags["base"]}
        if other := bench.stands_on(name):
            base = {other.upper(): bench.tags[f"pods/{other}"]}
        bench.docker_build(f"pods/{name}", pod, tag=tag, **base)
