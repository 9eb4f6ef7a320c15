"""Commands in running containers."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.base.errors import EngineError
from lab.base.redaction import without_secrets
from lab.engine.errors import engine_errors
from lab.engine.stream import frames, hang_up, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


LOG = logging.getLogger("halab.node")
SLACK_S = 30.0
"""Beyond a command's own time: for the engine to begin it, and `timeout -k 2`, on a busy host."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command on a node gave: its exit code and what it printed, both streams together."""

    code: int
    output: str


class RunCalls:
    """What runs commands and reads what they print; a part of Engine."""

    _api: Any

    def run(
        self,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bytes | Iterable[bytes] | None = None,
        timeout_s: float = 30,
    ) -> Result:
        """Run a command in a running container, with `stdin` as its input (chunks are sent as they come).

        After `timeout_s` seconds it is ended there and the code is 124 (timeout(1)). Raises
        EngineError where it does not end even then: in a container that was paused meanwhile,
        timeout(1) stands still, too.
        """
        begin = time.monotonic()
        bounded = ["timeout", "-k", "2", str(timeout_s), *argv]
        with engine_errors(f"running `{' '.join(argv)}` in {container}"):
            made = self._api.exec_create(container, bounded, stdin=stdin is not None)
            chunks = [stdin] if isinstance(stdin, bytes) else stdin
            try:
                within = (
                    timeout_s + SLACK_S if timeout_s else None
                )  # 0: no limit, to timeout(1), too
                output = self._converse(made["Id"], chunks, within)
            except TimeoutError:
                waited = f"no answer for {timeout_s + SLACK_S:.0f} s"
                hint = "`halab status` tells whether it is paused; else its host is too busy"
                text = f"running `{' '.join(argv)}` in {container}: {waited}"
                raise EngineError(text, hint) from None
            code = self._api.exec_inspect(made["Id"])["ExitCode"]
        took = (time.monotonic() - begin) * 1000
        LOG.debug(
            "%s: `%.200s`: code %s: %.0f ms", container, without_secrets(" ".join(argv)), code, took
        )
        return Result(-1 if code is None else int(code), output.decode(errors="replace"))

    def _converse(
        self, exec_id: str, chunks: Iterable[bytes] | None, within_s: float | None
    ) -> bytes:
        """Start a command; where there are chunks, write them to its standard input and close it.

        Gives what it prints. Raises TimeoutError where it has not ended after so many seconds.

        It is fed while it is read: one that prints as it reads would else wait for us as we for it,
        and one that ends early leaves the engine with input that nobody takes.
        """
        sock = self._api.exec_start(exec_id, socket=True)
        printed: list[bytes] = []
        with ThreadPoolExecutor(1) as pool:
            fed = None if chunks is None else pool.submit(_feed, plain(sock), chunks)
            try:
                # Who hangs up on input that was not read resets the connection (unix(7), tcp(7)):
                # after all output, and it is a fed command's end.
                with contextlib.suppress(*([ConnectionResetError] if fed else [])):
                    printed.extend(chunk for _, chunk in frames(sock, within_s))
            finally:
                hang_up(sock)  # lets go of the feeder, too
        if fed:
            fed.result()
        return b"".join(printed)

    def logs(self, container: str) -> str:
        """Return what PID 1 printed."""
        with engine_errors(f"reading the log of {container}"):
            return str(self._api.logs(container, tail=200).decode(errors="replace"))


def _feed(sock: socket.socket, chunks: Iterable[bytes]) -> None:
    """Send all chunks and the end.

    Raises what reading them raises; a command that ended early does not read, and what it printed
    says why.
    """
    try:
        for chunk in chunks:
            try:
                sock.sendall(chunk)
            except OSError:
                return
    except BaseException:
        with contextlib.suppress(OSError):
            sock.shutdown(
                socket.SHUT_RDWR
            )  # the command must not take the rest for the whole; who reads is let go
        raise
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
