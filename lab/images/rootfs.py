"""The Debian that everything stands on: downloaded by digest, or made by debootstrap."""

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


def make_rootfs(bench: Workbench) -> None:
    """Get Debian: by digest from an image registry where that can be reached, else by debootstrap from Debian's packages."""
    table, tag = bench.versions, bench.tags["rootfs"]
    reference = f"{table.image.split(':')[0]}@{table.digest}"
    try:
        bench.reporter.say("rootfs", f"fetching {reference}")
        bench.engine.pull(reference, tag)
        bench.reporter.say("rootfs", "downloaded by digest")
    except EngineError as error:
        bench.reporter.say(
            "rootfs", "no image registry reached; debootstrap from Debian's packages"
        )
        _debootstrap(bench, tag, str(error))


def _debootstrap(bench: Workbench, tag: str, reason: str) -> None:
    tool = shutil.which("debootstrap") or shutil.which("/usr/sbin/debootstrap")
    if tool is None or os.geteuid() != 0:
        hint = "connect to the Internet; or, on Debian as root, `apt-get install debootstrap`"
        raise ImageError(f"no Debian to build on: {reason}", hint)
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
                "see whether Debian's packages can be reached",
            )
        for waste in (
            "var/cache/apt/archives",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ):
            shutil.rmtree(root / waste, ignore_errors=True)
        tar = Path(folder) / "rootfs.tar"
        subprocess.run(
            ["tar", "--numeric-owner", "-C", str(root), "-cf", str(tar), "."], check=True
        )
        bench.engine.import_rootfs(str(tar), tag)
