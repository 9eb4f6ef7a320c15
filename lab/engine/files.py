"""Files of containers, running or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.engine.archive import pack
from lab.engine.told import told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.spec import File

NOT_FOUND = 404
"""HTTP's."""
LOOK_TIMEOUT_S = 60
"""For one look at a path: the engine may first have to mount the container's volumes."""


class FileCalls:
    """What reads and writes containers' files; a part of Engine."""

    _api: Any

    def put(self, container: str, files: Iterable[File]) -> None:
        """Lay files down in a container, running or not; existing ones are replaced."""
        with told(f"writing files into {container}"):
            self._api.put_archive(container, "/", pack(files))

    def read(self, container: str, path: str) -> bytes:
        """Give a directory or file of a container as tar. Raises EngineError where it is not there."""
        with told(f"reading {path} from {container}"):
            stream, _ = self._api.get_archive(container, path)
            return b"".join(stream)

    def has(self, container: str, path: str) -> bool:
        """Tell whether a container has this path, running or not, its volumes included."""
        with told(f"looking for {path} in {container}"):
            # The library can only fetch it whole, and a database is big: HEAD tells alone.
            where = self._api._url("/containers/{0}/archive", container)  # noqa: SLF001
            answer = self._api.head(where, params={"path": path}, timeout=LOOK_TIMEOUT_S)
            if answer.status_code == NOT_FOUND:
                self._api.inspect_container(container)  # raises where the container is what is missing
                return False
            answer.raise_for_status()
            return True
