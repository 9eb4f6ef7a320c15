"""Writing a file in one move: a reader sees the old file or the new one, never a part."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE = 0o600
PUBLIC = 0o644


@contextlib.contextmanager
def replacing(target: Path, mode: int = PRIVATE) -> Iterator[IO[bytes]]:
    """Open a draft beside `target` for writing; it takes the target's place when the block ends.

    If the block fails, the target stays as it was, and no draft is left. Raises OSError if the
    folder is not there, or has no room.
    """
    import tempfile  # what most commands do not need takes 5 ms

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    draft = Path(name)
    try:
        with draft.open("wb") as file:
            yield file
        draft.chmod(mode)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
