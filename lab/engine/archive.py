"""Files as tar, the form in which the engine takes and gives them."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.spec import File


def pack(files: Iterable[File]) -> bytes:
    """Pack files for `put`: parents are made by the engine, owners and modes are ours."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            info = tarfile.TarInfo(file.path.lstrip("/"))
            info.uid = info.gid = file.owner
            info.mode = file.mode
            if file.link:
                info.type, info.linkname = tarfile.SYMTYPE, file.link
                archive.addfile(info)
            else:
                info.size = len(file.content)
                archive.addfile(info, io.BytesIO(file.content))
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """Give the files of a tar that `read` gave, by their names without folders."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                files[member.name.rsplit("/", 1)[-1]] = content.read()
    return files
