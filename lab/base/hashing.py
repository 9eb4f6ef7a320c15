"""Hashes that show whether something is still the same."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest(text: str) -> str:
    """Return the first 12 hex digits of a text's SHA-256.

    That is short enough for an image's tag, and long enough not to occur twice.
    """
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def folder_hash(folder: Path) -> str:
    """Return a digest of the names, executable bits and contents of all files in a folder."""
    parts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            mode = "x" if path.stat().st_mode & 0o100 else "-"
            parts.append(
                f"{path.relative_to(folder)} {mode} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            )
    return digest("\n".join(parts))


def file_hash(path: str) -> str:
    """Return the SHA-256 of a file's content in hex, or `gone` if there is no such file.

    The file is a K3s binary of the user's. It may be removed while labs that were made with it
    live on.
    """
    if not Path(path).is_file():
        return "gone"
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
