"""Writing a file in one move: a reader sees the old file or the new one, never a part."""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644
USUAL = None
"""What the user's umask leaves of a new file's rights."""


@contextlib.contextmanager
def replacing(target: Path, mode: int | None = PRIVATE) -> Iterator[IO[bytes]]:
    """Open a draft beside `target` for writing; it takes the target's place when the block ends.

    If the block fails, the target stays as it was, and no draft is left. Raises OSError if the
    folder is not there, or has no room.
    """
    draft = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    rights = 0o666 if mode is None else PRIVATE
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL, rights))
    try:
        with draft.open("wb") as file:
            yield file
        if mode is not None:
            draft.chmod(mode)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
