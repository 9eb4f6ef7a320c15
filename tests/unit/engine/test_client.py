"""What needs no engine: how what a command prints is read, and how its socket is closed."""

from __future__ import annotations

import contextlib
import errno
import json
import queue
import socket
import socketserver
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import docker
import docker.errors
import pytest
import requests
from docker.types import EndpointConfig
from loopback_server import answering

from lab.base.errors import EngineError
from lab.engine import client, commands
from lab.engine.client import Engine
from lab.engine.place import placed
from lab.engine.spec import ContainerSpec, mac_of
from lab.engine.stream import hang_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def frame(stream: int, chunk: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(chunk)) + chunk


class EngineDouble(socketserver.StreamRequestHandler):
    """A double of the engine: a command's output comes in one piece with the answer's head.

    That is how a quick command's output comes on a busy host.
    """

    printed = frame(1, b"out\n") + frame(2, b"complaint\n")

    def handle(self) -> None:
        while request := self.rfile.readline():
            length = 0
            while (line := self.rfile.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            if b"/start" in request or b"/attach" in request:
                self.wfile.write(
                    b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
                    + self.printed
                )
                with contextlib.suppress(ConnectionError):  # the other side may hang up at any time
                    self.play(request)
                return
            body = json.dumps(
                {"ExitCode": 0} if b"/json" in request else {"Id": request.split(b"/")[3].decode()}
            ).encode()
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )

    def play(self, request: bytes) -> None:
        """What commands do with their input."""
        if b"/quick" in request:
            return
        if b"/deaf" in request:
            self.request.recv(
                1, socket.MSG_PEEK
            )  # hangs up on what it has not read, which resets the connection
        elif b"/full" in request:
            self.request.shutdown(
                socket.SHUT_WR
            )  # the command has ended, and nobody takes the rest of its input
            self.server.full.wait(60)  # type: ignore[attr-defined]
        elif b"/frozen" in request:
            self.server.full.wait(60)  # type: ignore[attr-defined]
        elif b"/echo" in request:
            while chunk := self.request.recv(65536):
                self.wfile.write(frame(1, chunk))
        else:
            fed = self.rfile.read()  # to its end: who is attached does not hang up by itself
            if b"/upload" in request:
                self.wfile.write(frame(1, fed))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "s"), EngineDouble) as server:
        server.daemon_threads = True
        server.full = threading.Event()  # type: ignore[attr-defined]
        address = f"unix://{tmp_path / 's'}"
        client = docker.DockerClient(base_url=address, version="1.44", timeout=60)
        with answering(server):
            yield Engine(client)
            client.close()
            server.full.set()  # type: ignore[attr-defined]


def test_what_came_with_the_answers_head_is_not_lost(engine: Engine) -> None:
    assert engine.run("quick", ["echo", "out"]).output == "out\ncomplaint\n"


def test_nor_where_the_command_is_fed(engine: Engine) -> None:
    assert (
        engine.run("upload", ["cat"], stdin=[b"some ", b"input"]).output
        == "out\ncomplaint\nsome input"
    )


def test_what_cannot_be_read_to_be_fed_is_said_and_no_early_end_of_the_command(
    engine: Engine,
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"some "
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(EngineError, match=r"running `cat` in upload: .*Input/output"):
        engine.run("upload", ["cat"], stdin=broken())


def test_a_command_that_ended_early_says_why(engine: Engine) -> None:
    for chunk in (b"x", b"x" * 65536 * 64):
        assert engine.run("deaf", ["false"], stdin=[chunk]).output == "out\ncomplaint\n"


def test_nor_does_one_that_ended_early_keep_us_where_the_engine_takes_no_more(
    engine: Engine,
) -> None:
    assert engine.run("full", ["false"], stdin=[b"x" * 65536 * 64]).output == "out\ncomplaint\n"


@pytest.mark.parametrize("stdin", [None, b"x", [b"x" * 65536] * 64])
def test_a_command_in_a_container_that_was_paused_meanwhile_is_given_up(
    engine: Engine, stdin: bytes | list[bytes] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SLACK_S", 0.2)
    with pytest.raises(EngineError, match="`true` in frozen: no answer"):
        engine.run("frozen", ["true"], stdin=stdin, timeout_s=0.1)


def test_a_command_that_prints_while_it_is_fed_keeps_nobody_waiting(engine: Engine) -> None:
    assert (
        len(engine.run("echo", ["cat"], stdin=[b"x" * 65536] * 64).output)
        == len("out\ncomplaint\n") + 65536 * 64
    )


def test_who_listens_to_an_agent_is_let_go(engine: Engine) -> None:
    conversation = engine.converse("agent")
    heard = queue.Queue[tuple[bool, list[bytes]]]()

    def listen() -> None:
        for lines in conversation.lines():
            heard.put(lines)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert [heard.get(timeout=60), heard.get(timeout=60)] == [
        (True, [b"out"]),
        (False, [b"complaint"]),
    ]
    conversation.close()
    listener.join(60)
    assert not listener.is_alive()


def test_a_machine_keeps_its_mac_address() -> None:
    assert placed("1.41", "172.30.0.49") == {"ipv4_address": "172.30.0.49"}
    kept = {"ipv4_address": "172.30.0.49", "mac_address": "02:42:ac:1e:00:31"}
    assert placed("1.44", "172.30.0.49") == placed("1.51", "172.30.0.49") == kept
    assert EndpointConfig("1.51", **kept)["MacAddress"] == kept["mac_address"]


@dataclass
class ClosedDouble:
    """A double of docker's socket, or of the HTTP answer around it: keeps what was closed."""

    name: str
    closed: list[str] = field(default_factory=list)
    _response: ClosedDouble | None = None

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_RDWR
        self.closed.append("both ways")

    def close(self) -> None:
        self.closed.append(self.name)


def test_the_answer_is_closed_before_its_socket() -> None:
    closed: list[str] = []
    hang_up(ClosedDouble("socket", closed, ClosedDouble("answer", closed)))
    assert closed == ["both ways", "answer", "socket"]


def test_a_socket_that_keeps_no_answer_is_closed() -> None:
    closed: list[str] = []
    hang_up(ClosedDouble("socket", closed))
    assert closed == ["both ways", "socket"]


class DoubleApi:
    """A double of the library's calls: one container, frozen, with one file."""

    api_version = "1.44"

    def __init__(self) -> None:
        self.log: list[str] = []
        self.frozen = True
        self.networks: dict[str, str] = {}

    def inspect_container(self, name: str) -> dict[str, object]:
        if name != "halab-x-m":
            raise docker.errors.NotFound("No such container")
        known = {name: {"NetworkID": number} for name, number in self.networks.items()}
        return {"NetworkSettings": {"Networks": known}}

    def inspect_network(self, name: str) -> dict[str, str]:
        return {"Id": f"{name}-1"}

    def disconnect_container_from_network(self, name: str, network: str, *, force: bool) -> None:
        assert force
        self.log.append(f"disconnect {name} {network}")

    def connect_container_to_network(
        self,
        name: str,
        network: str,
        *,
        ipv4_address: str,
        mac_address: str,
        aliases: list[str],
    ) -> None:
        assert mac_address == mac_of(ipv4_address)
        self.log.append(f"connect {name} {network} {ipv4_address} {' '.join(aliases)}".strip())

    def unpause(self, _: str) -> None:
        if not self.frozen:
            raise docker.errors.APIError("Container is not paused")
        self.frozen = False

    def start(self, _: str) -> None:
        if self.frozen:
            raise docker.errors.APIError("cannot start a paused container, try unpause instead")
        self.log.append("start")

    def _url(self, form: str, *names: str) -> str:
        return form.format(*names)

    def head(self, url: str, *, params: dict[str, str], timeout: float) -> requests.Response:
        assert timeout
        answer = requests.Response()
        here = (url, params["path"]) == ("/containers/halab-x-m/archive", "/there")
        answer.status_code = 200 if here else 404
        return answer


@dataclass
class DoubleClient:
    """A double of the library's client."""

    api: DoubleApi = field(default_factory=DoubleApi)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_machine_is_woken_by_a_start(frozen: bool) -> None:  # noqa: FBT001
    client = DoubleClient()
    client.api.frozen = frozen
    Engine(client).start("halab-x-m")  # type: ignore[arg-type]
    assert client.api.log == ["start"]
    assert not client.api.frozen


NETWORK, MANAGEMENT = "connect halab-x-m lab 10.0.0.1 m", "connect halab-x-m mgmt 10.1.0.2"


@pytest.mark.parametrize(
    ("networks", "log"),
    [
        ({"lab": "lab-1", "mgmt": "mgmt-1"}, []),
        ({"lab": "", "mgmt": ""}, []),  # never started
        ({"lab": ""}, [MANAGEMENT]),  # the run that made it ended before it was connected
        ({"lab": "lab-0", "mgmt": "mgmt-1"}, ["disconnect halab-x-m lab", NETWORK]),
        ({}, [NETWORK, MANAGEMENT]),
    ],
)
def test_a_node_gets_the_networks_that_it_misses(networks: dict[str, str], log: list[str]) -> None:
    client = DoubleClient()
    client.api.networks = networks
    spec = ContainerSpec(
        name="halab-x-m",
        hostname="m",
        image="i",
        network="lab",
        ip="10.0.0.1",
        more={"mgmt": "10.1.0.2"},
    )
    Engine(client).connect(spec)  # type: ignore[arg-type]
    assert client.api.log == log


def test_a_path_is_looked_for_without_being_fetched() -> None:
    engine = Engine(DoubleClient())  # type: ignore[arg-type]
    assert engine.has("halab-x-m", "/there")
    assert not engine.has("halab-x-m", "/elsewhere")
    with pytest.raises(EngineError, match="No such container"):
        engine.has("halab-x-m2", "/there")


def test_a_refused_user_is_told_how_to_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise docker.errors.DockerException(
            "('Connection aborted.', PermissionError(13, 'Permission denied'))"
        )

    monkeypatch.setattr(docker, "from_env", refuse)
    with pytest.raises(EngineError, match="permission denied") as caught:
        client.connect()
    assert "usermod -aG docker" in caught.value.hint
