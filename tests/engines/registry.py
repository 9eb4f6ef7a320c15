"""A double of an image registry, on this machine's loopback.

It serves one image for several platforms, as public registries do.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PLATFORMS = ("amd64", "386", "arm64", "arm")
"""amd64 runs 386 as well, arm64 runs arm: whoever asks for all that a node can run asks for two of
them."""


class Store:
    """The content of one image, by digest, and the digest of its index."""

    def __init__(self) -> None:
        """Make a layer and a manifest for each platform."""
        self.content: dict[str, tuple[str, bytes]] = {}
        manifests = [
            {**self._image(arch), "platform": {"os": "linux", "architecture": arch}}
            for arch in PLATFORMS
        ]
        self.index = str(
            self._put(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})[
                "digest"
            ]
        )

    def _put(self, kind: str, value: bytes | dict[str, Any]) -> dict[str, Any]:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.content[digest] = (kind, data)
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def _image(self, arch: str) -> dict[str, Any]:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            text = arch.encode()
            row = tarfile.TarInfo("platform")
            row.size = len(text)
            tar.addfile(row, io.BytesIO(text))
        layer = packed.getvalue()
        diff = f"sha256:{hashlib.sha256(layer).hexdigest()}"
        config = {
            "os": "linux",
            "architecture": arch,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff]},
        }
        parts = {
            "config": self._put(CONFIG, config),
            "layers": [self._put(LAYER, gzip.compress(layer, mtime=0))],
        }
        return self._put(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, **parts})


@contextmanager
def served() -> Iterator[str]:
    """Serve the image, whatever its name and tag.

    Returns the registry's `address:port`, which engines take without TLS.
    """
    store = Store()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A TLS greeting is answered with a status line, as Go's servers do: by that engines know
        # that there is no TLS here.
        default_request_version = "HTTP/1.0"

        def do_GET(self) -> None:
            word = self.path.rstrip("/").rsplit("/", 1)[-1]
            if word == "v2":
                self._answer("application/json", b"{}", "")
                return
            digest = word if word.startswith("sha256:") else store.index
            kind, content = store.content.get(digest, ("", b""))
            self._answer(kind, content, digest)

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, kind: str, content: bytes, digest: str) -> None:
            self.send_response(200 if kind else 404)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(content)))
            if digest:
                self.send_header("Docker-Content-Digest", digest)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
