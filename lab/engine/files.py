"""Containers' files, and the tar archives in which the engine takes and returns them."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.engine.errors import engine_errors

if TYPE_CHECKING:
    from collections.abc import Iterable


def pack(files: Iterable[File]) -> bytes:
    """Return a tar of files for the engine, with their owners and modes; it makes the folders."""
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
    """Return the files of a tar that `read` gave: name without folders → content."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                files[member.name.rsplit("/", 1)[-1]] = content.read()
    return files


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to be laid down in a container. Secret content needs an explicit mode of 0o600."""

    path: str
    """Absolute, in the container."""
    content: bytes = b""
    mode: int = 0o644
    owner: int = 0
    """The numeric uid and gid."""
    link: str = ""
    """If set, the file is a symbolic link to this path, and has no content."""


def unit_links(*units: str) -> tuple[File, ...]:
    """Return the links that enable systemd units, as `systemctl enable` would make them.

    They are laid down before there is a systemd to ask. A name without a slash is a unit of ours in
    /etc/systemd/system; a path is a packaged unit.
    """
    wants = "/etc/systemd/system/multi-user.target.wants"
    full = [unit if "/" in unit else f"/etc/systemd/system/{unit}" for unit in units]
    return tuple(File(path=f"{wants}/{target.rsplit('/', 1)[1]}", link=target) for target in full)


NOT_FOUND = 404
LOOK_TIMEOUT_S = 60
"""For one look at a path: the engine may first have to mount the container's volumes."""


class FileCalls:
    """The calls that read and write containers' files; a part of Engine."""

    _api: Any

    def put(self, container: str, files: Iterable[File]) -> None:
        """Lay files down in a container, running or not; they replace existing ones."""
        with engine_errors(f"writing files into {container}"):
            self._api.put_archive(container, "/", pack(files))

    def read(self, container: str, path: str) -> bytes:
        """Return a folder or file of a container, running or not, as a tar archive.

        Raises EngineError if it is not there.
        """
        with engine_errors(f"reading {path} from {container}"):
            stream, _ = self._api.get_archive(container, path)
            return b"".join(stream)

    def has(self, container: str, path: str) -> bool:
        """Whether a container, running or not, has this path, its volumes included.

        Raises EngineError if there is no such container.
        """
        with engine_errors(f"looking for {path} in {container}"):
            # The library can only fetch the path as a whole, and a database is big: HEAD suffices.
            url = self._api._url("/containers/{0}/archive", container)  # noqa: SLF001
            answer = self._api.head(url, params={"path": path}, timeout=LOOK_TIMEOUT_S)
            if answer.status_code == NOT_FOUND:
                self._api.inspect_container(container)  # raises if the container itself is missing
                return False
            answer.raise_for_status()
            return True
