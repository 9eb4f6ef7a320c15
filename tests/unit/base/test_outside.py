"""Waiting, downloads, kubeconfigs, ports, subnets, doctor: against doubles or loopback only."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
import yaml
from fake_engine import FakeEngine
from loopback_server import answering

from lab.base import locks, paths
from lab.base.errors import ImageError, InputError, LabError, WaitTimeout
from lab.base.wait import Observation, until
from lab.host import findings, fixes, limits, network
from lab.host.findings import Finding
from lab.images.download import fetch
from lab.images.sources import Sources, tags
from lab.images.versions import Component
from lab.kube import kubeconfig
from lab.kube.secrets import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.topology.model import Topology

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


def test_waiting_ends_when_it_is_so_and_tells_changes_once() -> None:
    answers = iter(
        [
            Observation(ok=False, detail="a"),
            Observation(ok=False, detail="a"),
            Observation(ok=True, detail="b"),
        ]
    )
    details: list[str] = []
    assert (
        until(
            "x", lambda: next(answers), timeout_s=5, every_s=0.001, on_change=details.append
        ).detail
        == "b"
    )
    assert details == ["a"]


def test_waiting_in_vain_is_an_error_that_says_what_was_seen() -> None:
    with pytest.raises(WaitTimeout, match=r"the node: not after .* last seen: asleep"):
        until(
            "the node",
            lambda: Observation(ok=False, detail="asleep"),
            timeout_s=0.01,
            every_s=0.005,
        )
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(WaitTimeout):
        until("x", lambda: Observation(ok=False, detail=""), timeout_s=60, cancelled=cancelled)


def test_a_kubeconfig_is_merged_and_taken_out_without_loss(tmp_path: Path) -> None:
    target = tmp_path / "config"
    cluster = {"server": "https://x", "insecure-skip-tls-verify": True}
    mine = {
        "clusters": [{"name": "mine", "cluster": cluster}],
        "contexts": [{"name": "mine", "context": {}}],
    }
    target.write_text(yaml.safe_dump({**mine, "current-context": "mine"}))
    target.chmod(0o640)
    added = kubeconfig.build("one", "https://127.0.0.1:6443", b"ca", Pair(b"key", b"crt"))
    kubeconfig.merge(target, added)
    kubeconfig.merge(target, added)
    merged = yaml.safe_load(target.read_text())
    assert [row["name"] for row in merged["clusters"]] == ["mine", "halab-one"]
    assert merged["clusters"][0] == mine["clusters"][0]
    assert merged["current-context"] == "halab-one"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert kubeconfig.unmerge(target, "one")
    assert yaml.safe_load(target.read_text())["clusters"] == mine["clusters"]
    assert yaml.safe_load(target.read_text())["current-context"] == "mine"
    assert not kubeconfig.unmerge(target, "one")
    assert [item.name for item in tmp_path.iterdir()] == ["config"]


@pytest.mark.parametrize("text", ["{ broken", "- a list", "clusters: [1]"])
def test_a_file_that_is_no_kubeconfig_is_left_alone(tmp_path: Path, text: str) -> None:
    target = tmp_path / "config"
    target.write_text(text)
    with pytest.raises(InputError):
        kubeconfig.merge(target, kubeconfig.build("one", "https://x", b"", Pair(b"", b"")))
    assert target.read_text() == text


def test_a_new_kubeconfig_is_private_and_a_held_lock_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new" / "config"
    added = kubeconfig.build("one", "https://x", b"", Pair(b"", b""))
    kubeconfig.merge(target, added)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    monkeypatch.setattr(kubeconfig, "LOCK_WAIT_S", 0.01)
    Path(f"{target}.lock").touch()
    with pytest.raises(LabError, match="is held by somebody"):
        kubeconfig.merge(target, added)


def test_a_taken_port_gives_the_next() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert network.free_port(port) != port
    assert network.free_port(0) > 0


def test_check_subnets_names_a_free_one_when_the_subnet_is_in_use(topology: Topology) -> None:
    engine = FakeEngine()
    engine.add_network("other", subnet="172.30.0.0/16")
    with pytest.raises(
        InputError, match=r"meets 172\.30\.0\.0/16 \(Docker network other\)"
    ) as caught:
        network.check_subnets(topology, engine, ())  # type: ignore[arg-type]
    assert "free is 172." in caught.value.hint


def test_the_second_holder_of_a_lock_says_so_and_waits() -> None:
    said: list[str] = []
    entered = threading.Event()

    class Told:
        def say(self, _: str, text: str) -> None:
            said.append(text)
            entered.set()

        def done(self, _: str, text: str) -> None:
            pass

    def second() -> None:
        with locks.exclusive("x", Told()):
            said.append("in")

    with locks.exclusive("x", Told()):
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(10)
        assert "in" not in said
    thread.join(10)
    assert said == ["another halab is working on this lab; waiting for it", "in"]


def test_a_second_run_in_a_lab_is_refused_and_told_of_the_first() -> None:
    with locks.alone("x", "scenario one"):
        with (
            pytest.raises(LabError, match=r"in lab x: scenario one \(process \d+\)"),
            locks.alone("x", "scenario two"),
        ):
            pytest.fail("two at once")
        with locks.alone("y", "scenario two"):
            pass
    with locks.alone("x", "scenario two"):
        pass
    assert [path.name for path in paths.state().iterdir() if path.suffix == ".run"] == []


def test_tags_follow_what_goes_in(tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(paths.shipped("images"), tmp_path / "images"))
    sources = Sources(folder=folder, cache=tmp_path, arch="amd64")
    before = tags(sources)
    assert tags(sources) == before
    assert tags(replace(sources, arch="arm64"))["upstream"] != before["upstream"]
    (folder / "node" / "files" / "new").write_text("x")
    after = tags(sources)
    assert {image for image in before if before[image] != after[image]} == {
        "node",
        "upstream",
        "k3s",
    }


def test_components_fill_in_version_and_architecture() -> None:
    row = Component(name="x", version="v1.2.3")
    assert row.expand("{version} {plain} {arch}", "arm64") == "v1.2.3 1.2.3 arm64"


@pytest.mark.parametrize(("api", "state"), [("1.40", "failed"), ("1.41", "ok"), ("1.50", "ok")])
def test_old_engines_are_refused(api: str, state: str) -> None:
    assert findings.version({"ApiVersion": api, "ServerVersion": "x"}).state == state


def test_small_inotify_limits_are_told_with_the_command() -> None:
    finding = limits.inotify("max_user_instances", 128, 512)
    assert finding.state == "warning"
    assert "sysctl -w fs.inotify.max_user_instances=512" in finding.remedy
    assert limits.inotify("max_user_instances", 512, 512).state == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="fixing limits needs root")
def test_fix_does_what_was_found_and_nothing_else() -> None:
    commands: list[list[str]] = []
    lines: list[str] = []
    findings = [
        Finding("fs.inotify.max_user_instances", "warning", "128", "x", fixable=True),
        Finding("disk", "warning", "x"),
    ]
    fixes.fix(findings, lines.append, commands.append)
    assert commands == [["sysctl", "-q", "-w", "fs.inotify.max_user_instances=512"]]
    assert lines == ["setting fs.inotify.max_user_instances to 512"]
