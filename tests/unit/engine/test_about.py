"""Where the engine is, what it gives to containers, what it is asked: by a double of its API."""

from __future__ import annotations

import json
import platform
import socket
import socketserver
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import docker
import pytest
from loopback_server import answering

from lab.base import kernel, paths
from lab.base.errors import EngineError, ImageError
from lab.engine import about, fitness
from lab.engine.client import Engine
from lab.engine.privileges import MODULES, SOCKET, SOCKET_INSIDE
from lab.engine.spec import ContainerSpec
from lab.images.sources import architecture, sources_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = {
    "Name": socket.gethostname(),
    "KernelVersion": platform.release(),
    "OperatingSystem": "Debian",
    "ID": "x",
}
NO_MODULES = 'invalid mount config for type "bind": bind source path does not exist: /lib/modules'


class ApiDouble(socketserver.StreamRequestHandler):
    """A double of the engine: describes itself, makes and ends containers, keeps what is asked."""

    def handle(self) -> None:
        while request := self.rfile.readline():
            length = 0
            while (line := self.rfile.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = json.loads(self.rfile.read(length) or b"{}")
            verb, path, _ = request.decode().split()
            status, answer = self.server.answer(verb, urlsplit(path), body)
            text = json.dumps(answer).encode()
            kind = "Content-Type: application/json"
            head = f"HTTP/1.1 {status} x\r\n{kind}\r\nContent-Length: {len(text)}\r\n\r\n"
            self.wfile.write(head.encode() + text)


class ServerDouble(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str) -> None:
        super().__init__(path, ApiDouble)
        self.path = path
        self.info: dict[str, Any] = dict(HERE)
        self.modules = True
        self.exit_code = 0
        self.image: dict[str, Any] = {}
        self.made: list[dict[str, Any]] = []
        self.asked: list[str] = []

    def answer(self, verb: str, url: Any, body: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append(f"{verb} {url.path.split('/', 2)[2]}")
        if url.path.endswith("/info"):
            return 200, self.info
        if url.path.endswith("/create"):
            sought = [mount["Source"] for mount in body["HostConfig"].get("Mounts") or []]
            if MODULES in sought and not self.modules:
                return 400, {"message": NO_MODULES}
            self.made.append(body)
            return 201, {"Id": f"c{len(self.made)}"}
        if url.path.endswith("/images/get"):
            self.asked[-1] += f" {json.dumps(parse_qs(url.query))}"
        if "/containers/" in url.path and url.path.endswith("/json"):
            return self.inspected()
        for kind, answer in (("/networks/", {"Id": "n1"}), ("/images/", self.image)):
            if kind in url.path:
                return 200, answer
        return 200, {"StatusCode": self.exit_code}

    def inspected(self) -> tuple[int, Any]:
        if not self.made:
            return 404, {"message": "No such container"}
        networks = self.made[-1]["NetworkingConfig"]["EndpointsConfig"]
        there = {name: {"NetworkID": ""} for name in networks}  # none before the first start
        return 200, {"NetworkSettings": {"Networks": there}}


def connected(server: ServerDouble, version: str = "1.44") -> Engine:
    return Engine(
        docker.DockerClient(base_url=f"unix://{server.path}", version=version, timeout=60)
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerDouble]:
    with ServerDouble(str(tmp_path / "docker.sock")) as made, answering(made):
        yield made


# --- where it is ---


def test_an_engine_on_this_kernel_and_host_is_local(
    server: ServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    engine = connected(server)
    assert engine.local
    assert engine.socket_path() == server.path, "also where a context led here, not DOCKER_HOST"


@pytest.mark.parametrize(
    ("what", "system"),
    [
        ({"OperatingSystem": "Docker Desktop"}, "Linux"),
        ({"KernelVersion": "6.8.0-colima"}, "Linux"),
        ({"Name": "another-host"}, "Linux"),
        ({}, "Darwin"),
    ],
    ids=["desktop", "a machine of its own", "forwarded by ssh", "mac"],
)
def test_a_socket_may_lead_to_another_machine(
    server: ServerDouble, monkeypatch: pytest.MonkeyPatch, what: dict[str, str], system: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    server.info |= what
    engine = connected(server)
    assert not engine.local
    assert engine.socket_path() == SOCKET, "the engine's own machine has it in its usual place"


def test_an_engine_reached_by_tcp_is_elsewhere() -> None:
    engine = Engine(docker.DockerClient(base_url="tcp://127.0.0.1:1", version="1.44"))
    assert (engine.socket, engine.local, engine.socket_path()) == ("", False, SOCKET)


def test_the_address_is_the_environments_else_the_contexts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setattr(about.ContextAPI, "kwargs_from_context", lambda **_: {})
    assert about.address() == f"unix://{SOCKET}"
    monkeypatch.setattr(
        about.ContextAPI, "kwargs_from_context", lambda **_: {"base_url": "ssh://far"}
    )
    assert (about.address(), about.startable()) == ("ssh://far", False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///x.sock")
    assert about.address() == "unix:///x.sock"


def test_images_are_for_the_engines_architecture(
    server: ServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    server.info["Architecture"] = "aarch64"
    assert sources_for(connected(server)).arch == "arm64"
    assert architecture() == "amd64"
    server.info["Architecture"] = "riscv64"
    with pytest.raises(ImageError, match="riscv64"):
        sources_for(connected(server))


def asked_for(server: ServerDouble, version: str) -> str:
    list(connected(server, version).save(["halab/a:1", "halab/b:1"], "arm64"))
    return server.asked[-1]


def test_images_are_saved_for_one_platform_where_the_engine_can(server: ServerDouble) -> None:
    platform_ = json.dumps({"os": "linux", "architecture": "arm64"})
    names = ["halab/a:1", "halab/b:1"]
    expected = {"names": names, "platform": [platform_]}
    assert asked_for(server, "1.48") == f"GET images/get {json.dumps(expected)}"
    assert asked_for(server, "1.47") == f"GET images/get {json.dumps({'names': names})}"


@pytest.mark.parametrize(
    ("described", "labels"),
    [
        ({"Config": {"Labels": {"a": "b"}}}, {"a": "b"}),
        ({"Config": {"Labels": None}}, {}),
        ({"Config": {"Cmd": ["x"]}}, {}),
        ({}, {}),
    ],
    ids=["some", "none", "left out by Docker 29", "no config"],
)
def test_an_image_may_have_no_labels(
    server: ServerDouble, described: dict[str, Any], labels: dict[str, str]
) -> None:
    server.image = described
    assert connected(server).labels("halab/pod-x:1") == labels


# --- what containers get ---


def spec(*, machine: bool) -> ContainerSpec:
    return ContainerSpec(
        name="halab-x-m", hostname="m", image="halab/node:1", network="halab-x", ip="172.30.64.10",
        machine=machine, engine_socket=not machine,
    )  # fmt: skip


@pytest.mark.parametrize("modules", [True, False])
def test_a_privileged_machine_gets_the_kernels_modules_where_there_are_any(
    server: ServerDouble, *, modules: bool
) -> None:
    server.modules = modules
    connected(server).create_container(spec(machine=True), {}, privileged=True)
    host = server.made[0]["HostConfig"]
    mount = {"Target": "/usr/lib/modules", "Source": MODULES, "Type": "bind", "ReadOnly": True}
    assert host["Privileged"]
    assert host["Mounts"] == ([mount] if modules else [])
    assert MODULES not in str(host.get("Binds")), "the engine would make the folder of a bind"


def test_without_privileges_no_modules(server: ServerDouble) -> None:
    connected(server).create_container(spec(machine=True), {}, privileged=False)
    assert not server.made[0]["HostConfig"].get("Mounts")


def test_another_error_of_making_a_container_is_told(
    server: ServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        server, "answer", lambda *_: (404, {"message": "No such image: halab/node:1"})
    )
    with pytest.raises(EngineError, match="No such image"):
        connected(server).create_helper(
            "halab/node:1", ["true"], {}, {"Mounts": [{"Source": MODULES}]}
        )


def test_selinux_lets_the_controllers_connect_to_the_engine(server: ServerDouble) -> None:
    connected(server).create_container(spec(machine=False), {}, privileged=True)
    host = server.made[0]["HostConfig"]
    assert host["SecurityOpt"] == ["no-new-privileges", "label=disable"]
    assert host["Binds"] == [f"{SOCKET}:{SOCKET_INSIDE}:rw"] or server.path in host["Binds"][0]
    assert host["CapDrop"] == ["ALL"]


def test_who_has_no_socket_keeps_its_label(server: ServerDouble) -> None:
    assert connected(server).plain({})["SecurityOpt"] == ["no-new-privileges"]


# --- what it can give ---


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({}, ""),
        (
            {"SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"]},
            "",
        ),
        (
            {"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]},
            "Docker runs rootless",
        ),
        ({"SecurityOptions": ["name=rootless"], "BuildahVersion": "1.39"}, "Podman answers here"),
        ({"BuildahVersion": "1.39"}, "Podman answers here"),
        ({"SecurityOptions": ["name=userns"]}, "userns-remap"),
    ],
    ids=["old", "docker", "rootless", "podman", "podman-as-root", "userns"],
)
def test_an_engine_that_can_run_no_lab_is_refused(
    server: ServerDouble, info: dict[str, Any], words: str
) -> None:
    why, remedy = fitness.unfit(info)
    assert (words in why, bool(why), bool(remedy)) == (True, bool(words), bool(words))
    server.info |= info
    if words:
        with pytest.raises(EngineError, match=f"{words}.*nothing was changed"):
            fitness.require_fit(connected(server))
    else:
        fitness.require_fit(connected(server))


def test_the_answers_of_two_engines_are_remembered(server: ServerDouble) -> None:
    for engine in ("x", "y", "x", "y"):
        server.info["ID"] = engine
        assert fitness.privileged(connected(server), "halab/base:1")
    assert len(server.made) == 2


def test_a_file_that_another_halab_left_half_written_is_as_none(server: ServerDouble) -> None:
    (paths.cache() / fitness.CACHE).write_text('{"x')
    assert fitness.privileged(connected(server), "halab/base:1")
    assert len(json.loads((paths.cache() / fitness.CACHE).read_text())) == 1


def test_a_kernel_that_has_it_is_not_asked_by_a_container(
    server: ServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "bridged", lambda: True)
    fitness.require_bridge(connected(server), "halab/base:1", privileged=True)
    monkeypatch.setattr(kernel, "bridged", lambda: False)
    server.info["BridgeNfIptables"] = True
    fitness.require_bridge(connected(server), "halab/base:1", privileged=True)
    assert server.made == []


@pytest.mark.parametrize("there", ["Linux", "Darwin"])
def test_a_kernel_without_it_is_made_to_load_it_by_a_privileged_helper(
    server: ServerDouble, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    monkeypatch.setattr(
        kernel, "bridged", lambda: there == "Darwin"
    )  # what a Mac's own files say is no matter
    monkeypatch.setattr(platform, "system", lambda: there)
    engine = connected(server)
    fitness.require_bridge(engine, "halab/base:1", privileged=True)
    [helper] = server.made
    assert helper["HostConfig"]["Mounts"][0]["Source"] == MODULES
    assert "modprobe -q br_netfilter" in helper["Entrypoint"][-1]
    server.exit_code = 1
    with pytest.raises(
        EngineError,
        match=r"(?s)br_netfilter is not loaded.*nothing was started.*sudo modprobe br_netfilter",
    ):
        fitness.require_bridge(engine, "halab/base:1", privileged=True)
    assert [line for line in server.asked if line.startswith("DELETE")] == [
        "DELETE containers/c1",
        "DELETE containers/c2",
    ]


def test_the_answer_about_privileges_is_remembered(server: ServerDouble) -> None:
    engine = connected(server)
    assert fitness.privileged(engine, "halab/base:1")
    server.exit_code = 1
    assert fitness.privileged(engine, "halab/base:1")
    assert len(server.made) == 1
    assert (paths.cache() / "privilege.json").exists()
