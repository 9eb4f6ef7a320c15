"""A shell on the host for a lesson's commands, in which `halab` is this very program."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.errors import CommandFailed, WaitTimeout
from lab.lessons.model import with_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.live.lab import Lab

COMMAND_S = 600.0
"""For one command: the longest is a scenario of some minutes on a busy machine."""
END_S = 30.0
"""For a command that was interrupted: it heals its faults first."""
HERE = "this machine"


@contextlib.contextmanager
def open_shell(lab: Lab) -> Iterator[Callable[[str], str]]:
    """Yield a function that runs a command and returns what it printed.

    LAB and VIP-ADDRESS in the command are the lab's own. It raises CommandFailed if the command
    does not end with 0, and WaitTimeout if it does not end.
    """
    with tempfile.TemporaryDirectory(prefix="halab-lesson-") as folder:
        program = Path(folder) / "halab"
        # -P: a folder or file `lab` where the learner works is not this program.
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m lab "$@"\n')
        program.chmod(0o700)
        environment = {**os.environ, "PATH": f"{folder}:{os.environ.get('PATH', '')}"}

        def run(command: str) -> str:
            vip = str(lab.topology.network.vip)
            return _run(with_names(command, lab.name, vip), environment)

        yield run


def _run(command: str, environment: dict[str, str]) -> str:
    process = subprocess.Popen(
        ["sh", "-c", command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=COMMAND_S)
    except subprocess.TimeoutExpired:
        raise WaitTimeout(f"`{command}` ends", COMMAND_S, "it still runs") from None
    finally:
        # Also after ^C, which reaches this program alone.
        if process.returncode is None:
            _end(process)
    if process.returncode != 0:
        raise CommandFailed(HERE, (command,), process.returncode, output)
    return output


def _end(process: subprocess.Popen[str]) -> None:
    """End a command with all that it started: by ^C, which lets a scenario heal, then by force."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Read on: a full pipe would keep it from ending.
            process.communicate(timeout=END_S)
            return
