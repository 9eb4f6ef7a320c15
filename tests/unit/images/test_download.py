"""Downloads, from a server on loopback."""

from __future__ import annotations

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest
from loopback_server import answering

from lab.base.errors import ImageError
from lab.images.download import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


CONTENT = b"a binary" * 1000


class Server(BaseHTTPRequestHandler):
    """A release's file server on loopback."""

    broken: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        if Server.broken and self.path == "/busy":
            self.send_response(Server.broken.pop(0))
            self.send_header("Retry-After", "7")
            self.end_headers()
            return
        body = {
            "/file": CONTENT,
            "/busy": CONTENT,
            "/sums": f"{hashlib.sha256(CONTENT).hexdigest()}  file\n{'0' * 64}  other\n".encode(),
        }.get(self.path, CONTENT if self.path == "/cut" else b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:100] if self.path == "/cut" else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running, answering(running):
        yield f"http://127.0.0.1:{running.server_port}"


def test_a_download_is_proven_by_the_published_checksum(server: str, tmp_path: Path) -> None:
    got = fetch(f"{server}/file", tmp_path / "file", sha256_url=f"{server}/sums", name="file")
    assert got.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "name", "words"),
    [
        ("/file", "other", "wrong checksum"),
        ("/file", "third", "lists no checksum"),
        ("/none", "file", "404"),
        ("/cut", "file", "cut off"),
    ],
)
def test_a_bad_download_leaves_nothing(
    server: str, tmp_path: Path, path: str, name: str, words: str
) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        fetch(
            f"{server}{path}",
            tmp_path / "file",
            sha256_url=f"{server}/sums",
            name=name,
            remedy="do this",
            pause=lambda _: None,
        )
    assert server in str(caught.value)
    assert [item.name for item in tmp_path.iterdir() if not item.name.endswith(".lock")] == []


def test_a_busy_server_is_given_the_time_it_asks_for(server: str, tmp_path: Path) -> None:
    pauses: list[float] = []
    Server.broken = [503, 429]
    fetch(
        f"{server}/busy",
        tmp_path / "file",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        pause=pauses.append,
    )
    assert pauses == [7.0, 7.0]
