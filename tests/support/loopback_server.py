"""A server of a test's own, in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socketserver import BaseServer

POLL_S = 0.01
"""socketserver's is half a second, for which the end of each test would wait."""


@contextlib.contextmanager
def answering(server: BaseServer) -> Iterator[None]:
    """Have a server answer until the block ends. Whoever made it closes it."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
