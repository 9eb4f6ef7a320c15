"""That questions share the connections to the engine's socket, and what they do not wait for."""

from __future__ import annotations

import socketserver
import threading
import urllib.request
from typing import TYPE_CHECKING

import docker
import pytest
from loopback_server import answering

from lab.engine.client import Engine
from lab.engine.connections import keep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HANGS_UP = "halab-x-hangs-up"
"""A container's name: after the answer about it, the engine closes the connection."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


class CountedEngine(socketserver.ThreadingUnixStreamServer):
    """A double of the engine that counts the connections to it."""

    daemon_threads = True
    connections = 0
    said = b""
    """To what was attached to."""

    def __init__(self, path: str) -> None:
        super().__init__(path, CountedConnection)
        self.hung_up = threading.Event()


class CountedConnection(socketserver.StreamRequestHandler):
    server: CountedEngine

    def handle(self) -> None:
        self.server.connections += 1
        while request := self.rfile.readline():
            length = 0
            while line := self.rfile.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            if b"/attach" in request:
                self.wfile.write(UPGRADED)
                self.server.said += self.rfile.read()
                self.server.hung_up.set()
                return
            self.wfile.write(ANSWER)
            if HANGS_UP.encode() in request:
                return


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CountedEngine]:
    with CountedEngine(str(tmp_path / "s")) as made, answering(made):
        yield made


@pytest.fixture
def api(server: CountedEngine) -> Iterator[docker.APIClient]:
    client = docker.APIClient(f"unix://{server.server_address}", version="1.44", timeout=60)
    keep(client, 4)
    yield client
    client.close()


def engine_of(api: docker.APIClient) -> Engine:
    client = docker.DockerClient(base_url="tcp://127.0.0.1:1", version="1.44")
    client.api = api
    return Engine(client)


def test_keep_lets_questions_of_all_kinds_share_a_connection(
    api: docker.APIClient, server: CountedEngine
) -> None:
    engine = engine_of(api)
    for name in ("m", "m2", "w1"):
        engine.inspect(name)
        engine.has(name, "/path")
    assert server.connections == 1


def test_keep_takes_another_connection_after_one_was_closed(
    api: docker.APIClient, server: CountedEngine
) -> None:
    engine = engine_of(api)
    for name in ("m", HANGS_UP, "m2"):
        engine.inspect(name)
    assert server.connections == 2


def test_keep_asks_nothing_on_a_connection_that_became_a_conversation(
    api: docker.APIClient, server: CountedEngine
) -> None:
    engine = engine_of(api)
    conversation = engine.converse("agent")
    engine.inspect("m")
    conversation.close()
    engine.inspect("m2")
    assert server.hung_up.wait(60)
    assert server.said == b""


def test_keep_looks_for_no_proxy_that_leads_to_a_socket(
    api: docker.APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(urllib.request, "getproxies_environment", lambda: looked.append("") or {})
    monkeypatch.setattr("requests.utils.getproxies", lambda: looked.append("") or {})
    engine_of(api).inspect("m")
    assert not looked


def test_keep_changes_nothing_for_an_engine_behind_tcp() -> None:
    api = docker.APIClient("tcp://127.0.0.1:1", version="1.44")
    before = dict(api.adapters)
    keep(api, 4)
    assert dict(api.adapters) == before
    assert api.trust_env, "a proxy may lead there"
