"""halab's own programs on machines: vetted and tested where there is a Go compiler.

The instrument's own test is among them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.base import paths

TOOLS = paths.shipped("images") / "tools"
GO = shutil.which("go") or shutil.which("/usr/local/go/bin/go")


@pytest.mark.skipif(
    GO is None,
    reason="no Go compiler: images are built with one from the cache, tests need it on the path",
)
@pytest.mark.skipif(
    not Path("/proc/sys/kernel").exists(), reason="the programs are for Linux alone"
)
@pytest.mark.parametrize(
    "argv", [["vet", "./..."], ["test", "-count=1", "./..."]], ids=["vet", "test"]
)
def test_programs(argv: list[str]) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    result = subprocess.run(
        [str(GO), *argv], cwd=TOOLS, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
