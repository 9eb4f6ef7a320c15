"""One command at a time changes a lab.

The lock is the kernel's: a killed process lets go of it by dying.
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
"""A first start with its image builds takes up to 15 minutes; whoever waits longer is told."""
EVERY_S = 0.1
"""Until a lock is tried again: flock(2) by itself would wait without end."""
PLACES = (Path("/run/lock"), Path("/tmp"))  # noqa: S108 (see `place`: names there are no secret)
"""The first that every user may write to. Fedora's /run/lock is root's alone, a Mac has none."""
SHARED = stat.S_ISVTX | 0o777
"""Everybody may make files there, and remove their own only (the sticky bit, inode(7))."""


def place() -> Path:
    """Return the folder for locks: one for all users, as `sudo halab` and the user have one engine.

    Two machines that use one engine have none in common: there the engine's own refusal of a
    second container of a name is all there is.
    """
    for folder in PLACES:
        with contextlib.suppress(OSError):
            found = folder.stat()
            if found.st_uid == 0 and found.st_mode & SHARED == SHARED:
                return folder
    return paths.state()


class Lock:
    """A lock of a lab that all users of this machine see."""

    def __init__(self, lab: str, kind: str = "") -> None:
        """Name the lock. Raise InputError for what is no lab's name; no name of a lab has a dot."""
        names.check_name(lab)
        self.path = place() / f"halab-{lab}{kind and '.'}{kind}.lock"
        self._held = -1

    def acquire(self) -> bool:
        """Take the lock. False where somebody else has it; raise LabError where nobody could."""
        try:
            handle = self._open()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever destroyed the lab removed the file: others take another one.
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
        """Open the file, whoever made it; make it where it is missing.

        Reading is enough for a lock. In such a folder the kernel refuses O_CREAT on a file that
        another user made, also to root (fs.protected_regular), and a link or pipe that somebody
        laid there must lead nowhere and keep nobody.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with contextlib.suppress(FileNotFoundError):
            return os.open(self.path, flags)
        made, name = tempfile.mkstemp(dir=self.path.parent, prefix=".halab-")
        try:
            os.fchmod(made, 0o644)  # before it has its name: whoever finds it may read it
            os.close(made)
            with contextlib.suppress(FileExistsError):
                os.link(name, self.path)
        finally:
            Path(name).unlink(missing_ok=True)
        return os.open(self.path, flags)

    def release(self) -> None:
        """Let go of the lock; nothing where it is not held."""
        if self._held >= 0:
            os.close(self._held)
        self._held = -1

    def forget(self) -> None:
        """Remove the file of a lab that is gone; one that another user made stays, it is empty."""
        with contextlib.suppress(OSError):
            self.path.unlink()


@contextlib.contextmanager
def alone(lab: str, what: str) -> Iterator[None]:
    """Be the only one who measures a lab. Raise LabError that names who does already.

    Two runs would remove each other's instrument, and each would measure the other's faults. Who
    comes second is told, and does not wait: a run may take an hour.
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
def exclusive(lab: str, reporter: Reporter) -> Iterator[Lock]:
    """Hold the lab's lock; says so when another halab has it, and waits.

    Raises LabError when it does not let go.
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
