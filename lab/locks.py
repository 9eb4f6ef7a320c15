"""One command at a time changes a lab. The lock is the kernel's: a killed process lets go of it by dying."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from lab import data
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.reporter import Reporter

WAIT_S = 900
"""A first start with its image builds takes up to 15 minutes; whoever waits longer is told."""


@contextlib.contextmanager
def exclusive(lab: str, reporter: Reporter) -> Iterator[None]:
    """Hold the lab's lock; says so when another halab has it, and waits. Raises LabError when it does not let go."""
    lock = FileLock(data.state() / f"{lab}.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        reporter.say(lab, "another halab is working on this lab; waiting for it")
        try:
            lock.acquire(timeout=WAIT_S)
        except Timeout:
            raise LabError(f"another halab has been working on lab {lab} for {WAIT_S} s", "look at it, or end it") from None
    try:
        yield
    finally:
        lock.release()
