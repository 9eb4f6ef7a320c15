"""Files as tar, the form in which the engine takes and gives them."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.engine.errors import engine_errors

if TYPE_CHECKING:
    from collections.abc import Iterable


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
    """Return the files of a tar that `read` gave, by their names without folders."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                files[member.name.rsplit("/", 1)[-1]] = content.read()
    return files


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file laid down in a node before it boots.

    With `link` it is a symbolic link to that path instead.

    `owner` is a numeric uid and gid in the node. Secret content has mode 0o600: give it explicitly.
    """

    path: str
    content: bytes = b""
    mode: int = 0o644
    owner: int = 0
    link: str = ""


def unit_links(*units: str) -> tuple[File, ...]:
    """Enable systemd units: what `systemctl enable` does, done before there is a systemd to ask.

    A name without a slash is a unit of ours in /etc/systemd/system; a path is a packaged unit.
    """
    wants = "/etc/systemd/system/multi-user.target.wants"
    full = [unit if "/" in unit else f"/etc/systemd/system/{unit}" for unit in units]
    return tuple(File(path=f"{wants}/{target.rsplit('/', 1)[1]}", link=target) for target in full)


NOT_FOUND = 404
"""HTTP's."""
LOOK_TIMEOUT_S = 60
"""For one look at a path: the engine may first have to mount the container's volumes."""


class FileCalls:
    """What reads and writes containers' files; a part of Engine."""

    _api: Any

    def put(self, container: str, files: Iterable[File]) -> None:
        """Lay files down in a container, running or not; existing ones are replaced."""
        with engine_errors(f"writing files into {container}"):
            self._api.put_archive(container, "/", pack(files))

    def read(self, container: str, path: str) -> bytes:
        """Return a directory or file of a container as tar.

        Raises EngineError where it is not there.
        """
        with engine_errors(f"reading {path} from {container}"):
            stream, _ = self._api.get_archive(container, path)
            return b"".join(stream)

    def has(self, container: str, path: str) -> bool:
        """Whether a container has this path, running or not, its volumes included."""
        with engine_errors(f"looking for {path} in {container}"):
            # The library can only fetch it whole, and a database is big: HEAD tells alone.
            where = self._api._url("/containers/{0}/archive", container)  # noqa: SLF001
            answer = self._api.head(where, params={"path": path}, timeout=LOOK_TIMEOUT_S)
            if answer.status_code == NOT_FOUND:
                self._api.inspect_container(
                    container
                )  # raises where the container is what is missing
                return False
            answer.raise_for_status()
            return True
