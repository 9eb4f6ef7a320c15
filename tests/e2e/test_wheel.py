"""Installed, not only checked out.

The wheel carries images and topologies and builds the very same images.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labs import Cli

ROOT = Path(__file__).parents[2]


def test_the_wheel_works_in_an_empty_folder(halab: Cli, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("halab-*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    environment = {**halab.environment, "PYTHONPATH": str(site)}

    def run(*words: str) -> str:
        argv = [sys.executable, "-m", "lab", *words]
        return subprocess.run(
            argv, cwd=empty, env=environment, capture_output=True, text=True, check=True
        ).stdout

    where = [sys.executable, "-c", "import lab; print(lab.__file__)"]
    place = subprocess.run(
        where, cwd=empty, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert place.startswith(str(site))
    assert (site / "lab" / "watch" / "page.html").is_file()
    assert json.loads(run("validate", "3m3w", "-o", "json"))["name"] == "3m3w"
    run("init", "mine.yaml")
    assert (empty / "mine.yaml").exists()
    assert json.loads(run("images", "list", "-o", "json")) == halab.json("images", "list")
    assert os.listdir(empty) == ["mine.yaml"]  # noqa: PTH208 (names are enough)
