"""What commands and agents print: frames on the connection of the engine's HTTP answer."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = struct.Struct(">BxxxL")
"""A frame's head: the stream (1 for standard output, 2 for standard error), three zeros, the length
in bytes (Docker Engine API, "Attach to a container")."""


LEAST_S = 0.001
"""The shortest time-out. With 0, a socket that has nothing yet raises an error of its own."""


def plain(sock: Any) -> Any:  # noqa: ANN401 (docker's socket has several classes)
    """Return the bare socket, which docker may have wrapped in a file."""
    return getattr(sock, "_sock", sock)


def frames(
    sock: Any,  # noqa: ANN401 (as above)
    within_s: float | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Yield the number of a stream and a chunk of it, until the other side hangs up.

    Raises TimeoutError if it has not hung up after `within_s` seconds; None means no limit.

    It reads through the buffer of the HTTP answer that docker took the socket out of. docker's own
    reader goes past that to the bare socket and loses what came in one piece with the answer's
    head: on a busy host, a quick command's whole output (docker-py's issues 425 and 3332).
    """
    end = None if within_s is None else time.monotonic() + within_s
    # docker and the HTTP libraries keep it there, and give no other way to it.
    reader = sock._response.raw._fp.fp  # noqa: SLF001
    plain(sock).settimeout(within_s)
    while True:
        if end is not None:  # without a limit, another thread may hang up meanwhile
            plain(sock).settimeout(max(LEAST_S, end - time.monotonic()))
        head = reader.read(HEAD.size)
        if len(head) < HEAD.size:
            return
        stream, length = HEAD.unpack(head)
        chunk = reader.read(length)
        if chunk:
            yield stream, chunk


def hang_up(sock: Any) -> None:  # noqa: ANN401 (as above)
    """Close a socket that docker took out of an HTTP answer, and before it that answer.

    An answer that is closed after its socket cannot flush it, and Python 3.13 and later print a
    traceback of that whenever it is collected. The socket is shut down first of all: a thread that
    still reads holds the lock of the answer's buffer, and closing it would wait for that thread.
    """
    with contextlib.suppress(OSError):
        plain(sock).shutdown(socket.SHUT_RDWR)
    # docker keeps the answer there, so that it is not collected earlier.
    response = getattr(sock, "_response", None)
    if response is not None:
        response.close()
    sock.close()
