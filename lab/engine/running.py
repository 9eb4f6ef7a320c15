"""Commands in running containers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.engine.told import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Result:
    """What a command on a node gave: its exit code and what it printed, both streams together."""

    code: int
    output: str


def hang_up(sock: Any) -> None:  # noqa: ANN401 (docker's socket has several classes)
    """Close a socket that docker took out of an HTTP answer, the answer first.

    An answer that is closed after its socket fails to flush it, and Python 3.13 and later print that, a traceback, whenever it is collected.
    """
    response = getattr(sock, "_response", None)  # where docker keeps it, so that it is not collected earlier
    if response is not None:
        response.close()
    sock.close()


class RunCalls:
    """What runs commands and reads what they print; a part of Engine."""

    _api: Any

    def run(self, container: str, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] | None = None, timeout_s: float = 30) -> Result:
        """Run a command in a running container, with `stdin` as its input (chunks are sent as they come).

        After `timeout_s` seconds it is ended there and the code is 124 (timeout(1)).
        """
        bounded = ["timeout", "-k", "2", str(timeout_s), *argv]
        with told(f"running `{' '.join(argv)}` in {container}"):
            made = self._api.exec_create(container, bounded, stdin=stdin is not None)
            chunks = [stdin] if isinstance(stdin, bytes) else stdin
            output = self._api.exec_start(made["Id"]) if chunks is None else self._feed(made["Id"], chunks)
            code = self._api.exec_inspect(made["Id"])["ExitCode"]
        return Result(-1 if code is None else int(code), output.decode(errors="replace"))

    def _feed(self, exec_id: str, chunks: Iterable[bytes]) -> bytes:
        """Write to the command's standard input, close it, read what it prints."""
        import docker.utils.socket as frames  # only this rare path needs it

        sock = self._api.exec_start(exec_id, socket=True)
        raw = getattr(sock, "_sock", sock)
        # A command that ended early does not read: what it printed says why.
        with contextlib.suppress(OSError):
            for chunk in chunks:
                raw.sendall(chunk)
            raw.shutdown(1)
        try:
            return b"".join(chunk for _, chunk in frames.frames_iter(sock, tty=False))  # type: ignore[no-untyped-call]
        finally:
            hang_up(sock)

    def logs(self, container: str) -> str:
        """Give what PID 1 printed."""
        with told(f"reading the log of {container}"):
            return str(self._api.logs(container, tail=200).decode(errors="replace"))
