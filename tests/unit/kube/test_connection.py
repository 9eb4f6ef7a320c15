"""The API's client against a server on loopback: whom it trusts, and as whom it asks."""

from __future__ import annotations

import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from loopback_server import answering

from lab.base.errors import LabError
from lab.kube.api import KubeApi
from lab.kube.pki import issue, new_authority
from lab.kube.secrets import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUTHORITY, OTHER = new_authority("own"), new_authority("somebody else's")
ADMIN = issue(AUTHORITY, "halab-admin")


class WhoAsks(BaseHTTPRequestHandler):
    """Answers with the name in the client's certificate."""

    def do_GET(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        certificate: Any = self.connection.getpeercert()
        names = dict(pair for group in certificate["subject"] for pair in group)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(names["commonName"].encode())

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A server whose clients may hang up during the handshake."""

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a server that wants a certificate of AUTHORITY's."""
    own = issue(AUTHORITY, "kube-apiserver", names=("127.0.0.1",))
    file: Path = tmp_path_factory.mktemp("server") / "server.pem"
    file.write_bytes(own.key + own.certificate)
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cadata=AUTHORITY.certificate.decode()
    )
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(file)
    with Server(("127.0.0.1", 0), WhoAsks) as running:
        running.socket = context.wrap_socket(
            running.socket, server_side=True, do_handshake_on_connect=False
        )
        with answering(running):
            yield f"https://127.0.0.1:{running.server_port}"


def test_the_api_is_asked_as_administrator(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # loopback needs no proxy
    cluster = KubeApi(url, AUTHORITY.certificate, ADMIN)
    assert cluster.request("GET", "/version") == "halab-admin"
    cluster.close()


def test_the_kubernetes_package_asks_as_the_same(url: str) -> None:
    cluster = KubeApi(url, AUTHORITY.certificate, ADMIN)
    answer = cluster.client.rest_client.request("GET", f"{url}/version")
    assert answer.read() == b"halab-admin"
    cluster.close()


def test_a_server_of_another_authority_is_not_trusted(url: str) -> None:
    cluster = KubeApi(url, OTHER.certificate, ADMIN)
    with pytest.raises(LabError, match="does not answer: SSLError"):
        cluster.request("GET", "/version")


def test_an_administrator_of_another_authority_is_refused(url: str) -> None:
    cluster = KubeApi(url, AUTHORITY.certificate, issue(OTHER, "halab-admin"))
    with pytest.raises(LabError, match="does not answer"):
        cluster.request("GET", "/version")


@pytest.mark.parametrize(
    ("authority", "admin"),
    [
        (b"", ADMIN),
        ("é".encode(), ADMIN),
        (AUTHORITY.certificate, Pair(ADMIN.key, b"no certificate")),
        (AUTHORITY.certificate, Pair(OTHER.key, ADMIN.certificate)),
    ],
)
def test_damaged_credentials_are_told_before_anything_is_asked(
    authority: bytes, admin: Pair
) -> None:
    with pytest.raises(LabError, match="credentials cannot be used"):
        KubeApi("https://127.0.0.1:1", authority, admin)
