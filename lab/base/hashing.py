"""Hashes that tell whether something is still the same."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest(text: str) -> str:
    """Return the first 12 hex digits of a text's SHA-256: short enough for a tag, long enough not to meet twice."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def folder_hash(folder: Path) -> str:
    """Hash names, modes and contents of all files of a folder."""
    parts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            mode = "x" if path.stat().st_mode & 0o100 else "-"
            parts.append(
                f"{path.relative_to(folder)} {mode} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            )
    return digest("\n".join(parts))


def file_hash(path: str) -> str:
    """Hash a file's content (a K3s binary of the user's).

    One that is gone gives a hash of its own: labs made from it live on.
    """
    if not Path(path).is_file():
        return "gone"
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
