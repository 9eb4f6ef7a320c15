"""What commands and agents print: frames on the connection that the engine's answer came on."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = struct.Struct(">BxxxL")
"""Of each frame: which stream (1 output, 2 complaints), three zeros, the length in bytes (Docker
Engine API, "Attach to a container")."""


LEAST_S = 0.001
"""Never 0, to which a socket that has nothing yet answers with an error of its own."""


def plain(sock: Any) -> Any:  # noqa: ANN401 (docker's socket has several classes)
    """Return the socket itself where docker gives a file around it."""
    return getattr(sock, "_sock", sock)


def frames(
    sock: Any,  # noqa: ANN401 (as above)
    within_s: float | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Yield what comes, the stream's number and a chunk, until the other side hangs up.

    Raises TimeoutError where it has not after `within_s` seconds; None: any time may pass.

    Read through the buffer of the HTTP answer that docker took the socket out of. docker's own
    reader goes past it to the bare socket, and what came in one piece with the answer's head is
    lost then: a quick command's whole output, on a busy host (docker-py's issues 425 and 3332).
    """
    end = None if within_s is None else time.monotonic() + within_s
    reader = sock._response.raw._fp.fp  # noqa: SLF001 (docker and the HTTP libraries keep it there, and give no other way to it)
    plain(sock).settimeout(within_s)
    while True:
        if end is not None:  # else somebody may hang up meanwhile, in another thread
            plain(sock).settimeout(max(LEAST_S, end - time.monotonic()))
        head = reader.read(HEAD.size)
        if len(head) < HEAD.size:
            return
        stream, length = HEAD.unpack(head)
        chunk = reader.read(length)
        if chunk:
            yield stream, chunk


def hang_up(sock: Any) -> None:  # noqa: ANN401 (as above)
    """Close a socket that docker took out of an HTTP answer, the answer first.

    An answer that is closed after its socket fails to flush it, and Python 3.13 and later print
    that, a traceback, whenever it is collected. Who still reads, in another thread, is let go
    before: its buffer is locked as long, and closing it would wait.
    """
    with contextlib.suppress(OSError):
        plain(sock).shutdown(socket.SHUT_RDWR)
    response = getattr(
        sock, "_response", None
    )  # where docker keeps it, so that it is not collected earlier
    if response is not None:
        response.close()
    sock.close()
