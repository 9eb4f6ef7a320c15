"""Locks: one command at a time changes a lab.

They are the kernel's (flock(2)): a process that is killed releases its lock by dying.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base import names, paths
from lab.base.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.base.progress import Reporter

WAIT_S = 900
"""A first start, with its image builds, takes up to 15 minutes. A longer wait is an error."""
EVERY_S = 0.1
"""How often a lock is tried: flock(2) by itself would wait without end."""
PLACES = (Path("/run/lock"), Path("/tmp"))  # noqa: S108 (see `place`: names there are no secret)
"""The first that every user may write to is used. Fedora's /run/lock is only root's; a Mac has
none."""
SHARED = stat.S_ISVTX | 0o777
"""Everybody may make files there, but remove only their own (the sticky bit, inode(7))."""


def place() -> Path:
    """Return the folder for locks.

    All users of a machine share it, because `sudo halab` and the user have the same engine. Two
    machines that use one engine have no folder in common: only the engine's refusal to make a
    second container of the same name protects their labs.
    """
    for folder in PLACES:
        with contextlib.suppress(OSError):
            status = folder.stat()
            if status.st_uid == 0 and status.st_mode & SHARED == SHARED:
                return folder
    return paths.state()


class Lock:
    """A lock of a lab that all users of this machine see."""

    def __init__(self, lab: str, kind: str = "") -> None:
        """Name the lock; labs' names have no dots, so `kind` makes another one of the same lab.

        Raise InputError if `lab` cannot be a lab's name.
        """
        names.check_name(lab)
        self.path = place() / f"halab-{lab}{kind and '.'}{kind}.lock"
        self._held = -1

    def acquire(self) -> bool:
        """Take the lock; return whether it is ours now. Raise LabError if it cannot be locked."""
        try:
            handle = self._open()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # `halab destroy` removes the file: a lock on one that is gone excludes nobody.
                if os.path.samestat(os.fstat(handle), self.path.lstat()):
                    self._held, handle = handle, -1
            except (BlockingIOError, FileNotFoundError):
                pass
            finally:
                if handle >= 0:
                    os.close(handle)
        except OSError as error:
            raise LabError(f"cannot lock {self.path}: {error.strerror}", "remove it") from error
        return self._held >= 0

    def _open(self) -> int:
        """Open the file, no matter who made it, or make it.

        Reading is enough for a lock. In such a folder the kernel refuses O_CREAT on a file that
        another user made, even to root (fs.protected_regular). A link that somebody put there must
        not be followed, and a pipe must not block.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with contextlib.suppress(FileNotFoundError):
            return os.open(self.path, flags)
        made, name = tempfile.mkstemp(dir=self.path.parent, prefix=".halab-")
        try:
            os.fchmod(made, 0o644)  # before it gets its name, so that anybody may read it then
            os.close(made)
            with contextlib.suppress(FileExistsError):
                os.link(name, self.path)
        finally:
            Path(name).unlink(missing_ok=True)
        return os.open(self.path, flags)

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._held >= 0:
            os.close(self._held)
        self._held = -1

    def forget(self) -> None:
        """Remove the lock's file once its lab is gone. Another user's stays; it is empty."""
        with contextlib.suppress(OSError):
            self.path.unlink()


@contextlib.contextmanager
def alone(lab: str, what: str) -> Iterator[None]:
    """Hold the lock of the one run that measures a lab; `what` names the run to others.

    Two runs would remove each other's instrument, and each would measure the other's faults. Raise
    LabError, which names the other run, instead of waiting: a run may take an hour.
    """
    lock, note = Lock(lab, "run"), paths.of_lab(lab, "run")
    if not lock.acquire():
        who = "another user's"
        with contextlib.suppress(OSError, UnicodeDecodeError):
            who = note.read_text(encoding="utf-8")
        hint = "let it end, or end it by ^C, then try again"
        raise LabError(f"a run is going on in lab {lab}: {who}", hint)
    try:
        note.write_text(f"{what} (process {os.getpid()})", encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def one_after_another(name: str, kind: str, at_most_s: float) -> Iterator[None]:
    """Let processes that choose something do it one after the other.

    After `at_most_s` a process goes on all the same: this saves work, and protects nothing.
    """
    lock, until = Lock(name, kind), time.monotonic() + at_most_s
    while not lock.acquire() and time.monotonic() < until:
        time.sleep(EVERY_S)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def exclusive(lab: str, reporter: Reporter) -> Iterator[Lock]:
    """Hold a lab's lock. If another halab has it, say so and wait.

    Raise LabError if it is not released within WAIT_S.
    """
    lock, until = Lock(lab), time.monotonic() + WAIT_S
    if not lock.acquire():
        reporter.say(lab, "another halab is working on this lab; waiting for it")
        while not lock.acquire():
            if time.monotonic() > until:
                what = f"another halab has been working on lab {lab} for {WAIT_S} s"
                raise LabError(what, "look at it, or end it")
            time.sleep(EVERY_S)
    try:
        yield lock
    finally:
        lock.release()
