"""Commands in running containers: fed, read and bounded in time."""

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
    from collections.abc import Callable, Iterable, Sequence


LOG = logging.getLogger("halab.node")
SLACK_S = 30.0
"""Added to a command's own time: on a busy host the engine begins late, and `timeout -k 2` ends
late."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a command on a node ended: its exit code, and what it printed on both streams."""

    code: int
    output: str


class RunCalls:
    """The calls that run commands and read what they print; a part of Engine."""

    _api: Any

    def run(
        self,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bytes | Iterable[bytes] | None = None,
        timeout_s: float = 30,
        heard: Callable[[bytes], None] | None = None,
    ) -> Result:
        """Run a command in a running container, with `stdin` as its input; chunks go as they come.

        `heard` is called with each piece of its output as that comes, before the command ends.

        After `timeout_s` seconds it is ended in the container, and the code is 124 (timeout(1)); 0
        means no limit. Raises EngineError if it does not end even then: in a container that was
        paused meanwhile, timeout(1) stands still, too.
        """
        begin = time.monotonic()
        bounded = ["timeout", "-k", "2", str(timeout_s), *argv]
        what = f"running `{' '.join(argv)}` in {container}"
        with engine_errors(what):
            command = self._api.exec_create(container, bounded, stdin=stdin is not None)
            chunks = [stdin] if isinstance(stdin, bytes) else stdin
            # timeout(1) takes 0 for no limit, too.
            within_s = timeout_s + SLACK_S if timeout_s else None
            try:
                output = self._converse(command["Id"], chunks, within_s, heard)
            except TimeoutError:
                raise EngineError(
                    f"{what}: no answer for {timeout_s + SLACK_S:.0f} s",
                    "`halab status` says whether it is paused; otherwise its host is too busy",
                ) from None
            code = self._api.exec_inspect(command["Id"])["ExitCode"]
        took = (time.monotonic() - begin) * 1000
        LOG.debug(
            "%s: `%.200s`: code %s: %.0f ms", container, without_secrets(" ".join(argv)), code, took
        )
        return Result(-1 if code is None else int(code), output.decode(errors="replace"))

    def _converse(
        self,
        exec_id: str,
        chunks: Iterable[bytes] | None,
        within_s: float | None,
        heard: Callable[[bytes], None] | None,
    ) -> bytes:
        """Start a command, feed its standard input with the chunks, if any, and close that.

        Return what it prints. Raises TimeoutError if it has not ended after `within_s` seconds.

        It is fed and read at the same time: a command that prints while it reads would deadlock
        otherwise, and one that ends early leaves the engine with input that nobody takes.
        """
        sock = self._api.exec_start(exec_id, socket=True)
        printed: list[bytes] = []
        with ThreadPoolExecutor(1) as pool:
            feeder = None if chunks is None else pool.submit(_feed, plain(sock), chunks)
            try:
                for _, chunk in frames(sock, within_s):
                    printed.append(chunk)
                    if heard:
                        heard(chunk)
            except ConnectionResetError:
                # An end that hangs up on unread input resets the connection (unix(7), tcp(7)). It
                # comes after all output: it is how a command ends that was fed too much.
                if feeder is None:
                    raise
            finally:
                hang_up(sock)  # lets go of the feeder, too
        if feeder:
            feeder.result()
        return b"".join(printed)

    def logs(self, container: str) -> str:
        """Return the last 200 lines that a container's PID 1 printed."""
        with engine_errors(f"reading the log of {container}"):
            return str(self._api.logs(container, tail=200).decode(errors="replace"))


def _feed(sock: socket.socket, chunks: Iterable[bytes]) -> None:
    """Send all chunks, then the end of the input.

    Raises what iterating over the chunks raises. A command that ended early reads no more; what it
    printed says why.
    """
    try:
        for chunk in chunks:
            try:
                sock.sendall(chunk)
            except OSError:
                return
    except BaseException:
        # The command must not take a part for the whole, and whoever reads must not wait.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        raise
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
