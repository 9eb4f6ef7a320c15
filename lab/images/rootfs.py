"""The Debian that all images are built on: downloaded by digest, or made by debootstrap."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import EngineError, ImageError

if TYPE_CHECKING:
    from lab.images.workbench import Workbench


UNUSED = (
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
)
"""Folders that nothing in an image needs."""


def make_rootfs(bench: Workbench) -> None:
    """Make Debian's image: by digest from an image registry, else by debootstrap from packages.

    Raises ImageError if neither is possible.
    """
    table, tag = bench.versions, bench.tags["rootfs"]
    reference = f"{table.image.split(':')[0]}@{table.digest}"
    try:
        bench.reporter.say("rootfs", f"fetching {reference}")
        bench.engine.pull(reference, tag)
        bench.reporter.say("rootfs", "downloaded by digest")
    except EngineError as error:
        bench.reporter.say("rootfs", "no image registry is reached: making it by debootstrap")
        _debootstrap(bench, tag, str(error))


def _debootstrap(bench: Workbench, tag: str, reason: str) -> None:
    tool = shutil.which("debootstrap") or shutil.which("/usr/sbin/debootstrap")
    if tool is None or os.geteuid() != 0:
        hint = "connect to the Internet, or be root on Debian and `apt-get install debootstrap`"
        raise ImageError(f"there is no Debian to build on: {reason}", hint)
    with tempfile.TemporaryDirectory(dir=bench.sources.cache) as folder:
        root = Path(folder) / "root"
        argv = [
            tool,
            f"--arch={bench.sources.arch}",
            "--variant=minbase",
            bench.versions.release,
            str(root),
        ]
        result = subprocess.run(argv, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ImageError(
                f"debootstrap failed:\n{result.stdout[-1500:]}",
                "check whether this machine can reach Debian's packages",
            )
        for path in UNUSED:
            shutil.rmtree(root / path, ignore_errors=True)
        tar = Path(folder) / "rootfs.tar"
        subprocess.run(
            ["tar", "--numeric-owner", "-C", str(root), "-cf", str(tar), "."], check=True
        )
        bench.engine.import_rootfs(str(tar), tag)
