"""Runs halab's command line in this process: what `halab WORD...` would do, print and end with.

A process of its own takes more than half a second; this takes milliseconds. No engine answers,
unless a test puts another one into `lab.engine.client.connect`.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import docker
import docker.errors
from click.testing import CliRunner

from lab.__main__ import main

if TYPE_CHECKING:
    from click.testing import Result

NO_ENGINE = docker.errors.DockerException("Error while fetching server API version")


class _Program:
    """As much of a click command as the runner wants: errors become messages and exit codes."""

    name = "halab"

    def main(self, args: list[str], **_: Any) -> None:
        with (
            mock.patch.object(sys, "argv", ["halab", *args]),
            mock.patch.object(docker, "from_env", side_effect=NO_ENGINE),
        ):
            main()


def halab(*words: str, code: int = 0, stdin: bytes = b"", cwd: Path | None = None) -> Result:
    """Run halab, hold its exit code against `code`, and return what it printed."""
    with contextlib.chdir(cwd or Path.cwd()):
        done = CliRunner().invoke(_Program(), list(words), input=stdin)  # type: ignore[arg-type]
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.stderr
    return done
