"""K3s's downloads, from a server on loopback that serves a release's layout.

They are complete and checked, or there is one clear error and nothing is left.
"""

from __future__ import annotations

import hashlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar, cast

import pytest
from loopback_server import answering

from lab.base.errors import ImageError, LabError, Unreached
from lab.base.progress import Silent
from lab.images import components, download, k3s, k3s_release
from lab.lifecycle import distribution_choice
from lab.topology import releases

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.images.builder import Builder

VERSION = "v1.36.5+k3s1"
BINARY, IMAGES = b"binary" * 999, b"images" * 999


class Release(SimpleHTTPRequestHandler):
    """Serves a folder; `faults` makes a name misbehave.

    A status (a list: one for each question), or "cut" for a connection that ends half-way.
    """

    faults: ClassVar[dict[str, int | str | list[int]]] = {}

    def do_GET(self) -> None:
        fault = self.faults.get(self.path.rsplit("/", 1)[-1])
        if isinstance(fault, list):
            fault = fault.pop(0) if fault else None
        if isinstance(fault, int):
            self.send_error(fault)
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"begin")
            self.close_connection = True
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        """Refuse, as proxies do that let only GET pass."""
        self.send_error(405)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "releases" / VERSION
    folder.mkdir(parents=True)
    for arch, name in (("amd64", "k3s"), ("arm64", "k3s-arm64")):
        files = {name: BINARY, f"k3s-airgap-images-{arch}.tar.zst": IMAGES}
        for file, content in files.items():
            (folder / file).write_bytes(content)
        lines = [
            f"{hashlib.sha256(content).hexdigest()}  {file}"
            for file, content in reversed(files.items())
        ]
        (folder / f"sha256sum-{arch}.txt").write_text("\n".join(lines) + "\n")
    Release.faults = {}
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    handler = partial(Release, directory=str(tmp_path / "releases"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, answering(server):
        monkeypatch.setenv(k3s_release.MIRROR, f"http://127.0.0.1:{server.server_port}")
        yield folder


def builder(tmp_path: Path, arch: str = "amd64") -> SimpleNamespace:
    """A double of the builder: what downloads need of it."""
    (tmp_path / "cache").mkdir(exist_ok=True)
    cache = tmp_path / "cache"
    sources = SimpleNamespace(k3s_binary="", k3s_images="", arch=arch, cache=cache, wished=())
    table = SimpleNamespace(components={"k3s": SimpleNamespace(version=VERSION)})
    tags = {"node": "node"}
    return SimpleNamespace(
        sources=sources, reporter=Silent(), versions=table, engine=None, tags=tags
    )


def left(tmp_path: Path) -> list[str]:
    return [
        path.name
        for path in (tmp_path / "cache").rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    ]


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_binary_and_images_come_by_their_checksums(
    release: Path, tmp_path: Path, arch: str
) -> None:
    bench = builder(tmp_path, arch)
    assert k3s.binary(bench).read_bytes() == BINARY
    (tmp_path / "images").mkdir()
    k3s._packaged(bench, tmp_path / "images", VERSION)
    assert (tmp_path / "images" / f"k3s-airgap-images-{arch}.tar.zst").read_bytes() == IMAGES


def test_a_wrong_checksum_is_refused_and_nothing_stays(release: Path, tmp_path: Path) -> None:
    (release / "k3s").write_bytes(b"another binary")
    with pytest.raises(ImageError, match="wrong checksum"):
        k3s.binary(builder(tmp_path))
    assert left(tmp_path) == []


def test_a_file_that_is_cut_off_is_refused_and_nothing_stays(release: Path, tmp_path: Path) -> None:
    Release.faults = {"k3s": "cut"}
    with pytest.raises(ImageError, match="cut off"):
        k3s.binary(builder(tmp_path))
    assert left(tmp_path) == []


@pytest.mark.parametrize("status", [404, 503])
def test_a_release_that_is_not_there_names_the_way_out(
    release: Path, tmp_path: Path, status: int
) -> None:
    Release.faults = {"k3s": status}
    with pytest.raises(ImageError, match="cannot be downloaded") as caught:
        k3s.binary(builder(tmp_path))
    assert "k3s_binary" in caught.value.hint


def test_a_missing_checksum_file_is_an_error(release: Path, tmp_path: Path) -> None:
    (release / "sha256sum-amd64.txt").unlink()
    with pytest.raises(ImageError, match="404"):
        k3s.binary(builder(tmp_path))
    assert left(tmp_path) == []


def test_images_that_are_not_published_are_left_to_the_nodes(release: Path, tmp_path: Path) -> None:
    Release.faults = {"k3s-airgap-images-amd64.tar.zst": 404}
    (tmp_path / "images").mkdir()
    k3s._packaged(builder(tmp_path), tmp_path / "images", VERSION)
    assert list((tmp_path / "images").iterdir()) == []


@pytest.mark.parametrize("status", [403, 503])
def test_images_that_are_not_reached_are_an_error(
    release: Path, tmp_path: Path, status: int
) -> None:
    """Else an image without them would have the tag of the image with them, for good."""
    Release.faults = {"k3s-airgap-images-amd64.tar.zst": status}
    (tmp_path / "images").mkdir()
    with pytest.raises(ImageError, match=f"answers {status}") as caught:
        k3s._packaged(builder(tmp_path), tmp_path / "images", VERSION)
    assert not isinstance(caught.value, Unreached)  # K3s itself can be had: no reason for another
    assert "k3s_images" in caught.value.hint


def test_a_hiccup_is_waited_for(release: Path) -> None:
    url = k3s_release.binary(VERSION, "amd64").url
    Release.faults = {"k3s": [503, 502]}
    assert components.reachable(url)
    Release.faults = {"k3s": [503, 502, 500]}
    assert not components.reachable(url)
    assert components.reachable(url)


def test_who_never_answers_is_asked_several_times_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(components, "ask", lambda url: asked.append(url) or 0)
    monkeypatch.setattr(components.time, "sleep", lambda _: None)
    monkeypatch.setattr(components, "_silent", set())
    assert not components.reachable("https://nobody.example/a")
    assert len(asked) == 1 + len(components.REACH_PAUSES_S)
    assert not components.reachable("https://nobody.example/b")
    assert asked[3:] == ["https://nobody.example/b"]


def chooser(error: LabError | None) -> Builder:
    """Return a double of the builder whose K3s image fails with this error."""

    def build(name: str) -> None:
        if name == "k3s" and error:
            raise error

    double = SimpleNamespace(missing=lambda *_: ["k3s"], build=build, reporter=Silent())
    return cast("Builder", double)


def test_another_distribution_is_taken_only_where_the_first_cannot_be_had() -> None:
    both = ("k3s", "upstream")
    assert distribution_choice.choose(both, chooser(None)).distribution.name == "k3s"
    choice = distribution_choice.choose(
        both, chooser(Unreached("K3s cannot be downloaded here", "x"))
    )
    assert choice.distribution.name == "upstream"
    assert choice.why_not == ("k3s: K3s cannot be downloaded here",)
    with pytest.raises(ImageError, match="cut off") as caught:
        distribution_choice.choose(both, chooser(ImageError("it is cut off", "try again")))
    assert caught.value.hint == "try again; or take `--distribution upstream`"
    with pytest.raises(Unreached) as alone:
        distribution_choice.choose(("k3s",), chooser(Unreached("not here")))
    assert alone.value.hint == ""


@pytest.mark.parametrize(
    ("version", "too_old"),
    [
        ("v1.20.6+k3s1", True),
        ("v1.31.14+k3s1", True),
        ("v1.32.0+k3s1", False),
        ("v1.36.5+k3s1", False),
        ("v2.0.0-rc1+k3s1", False),
        ("unknown", False),
    ],
)
def test_a_release_that_does_not_understand_its_files_is_too_old(
    version: str, *, too_old: bool
) -> None:
    assert releases.too_old("k3s", version) is too_old


@pytest.mark.parametrize(
    ("version", "reads"),
    [
        ("v1.33.13+k3s1", False),
        ("v1.34.5+k3s1", False),
        ("v1.34.6+k3s1", True),
        ("v1.35.2+k3s1", False),
        ("v1.35.3+k3s1", True),
        ("v1.36.0+k3s1", True),
        ("v2.0.0+k3s1", True),
        ("dev", True),
    ],
)
def test_since_when_k3s_takes_settings_of_containerd(version: str, *, reads: bool) -> None:
    assert k3s_release.reads_drop_ins(version) is reads


@pytest.mark.parametrize("full", [True, False])
def test_an_older_k3s_is_refused_only_where_containers_are_not_privileged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    monkeypatch.setattr(k3s, "privileged", lambda *_: full)
    bench = cast("Builder", builder(tmp_path))
    if full:
        k3s.check(bench, "v1.34.5+k3s1")
        return
    with pytest.raises(ImageError, match=r"K3s v1\.34\.5\+k3s1 cannot run") as caught:
        k3s.check(bench, "v1.34.5+k3s1")
    assert "v1.34.6" in caught.value.hint
    k3s.check(bench, "v1.34.6+k3s1")


@pytest.mark.parametrize("binary", ["", "/home/me/k3s"])
def test_a_binary_of_another_version_than_the_wished_one_is_refused(
    tmp_path: Path, binary: str
) -> None:
    double = builder(tmp_path)
    double.sources.k3s_binary = binary
    double.sources.wished = (("k3s", "v1.34.6+k3s1"),)
    bench = cast("Builder", double)
    k3s.check(bench, "v1.34.6+k3s1")
    name = binary or r"the release v1\.34\.6\+k3s1"
    said = rf"^{name} is K3s v1\.36\.5\+k3s1, not v1\.34\.6"
    with pytest.raises(ImageError, match=said) as caught:
        k3s.check(bench, VERSION)
    assert f"`kubernetes: {{k3s: {VERSION}}}`" in caught.value.hint


def test_a_wished_release_that_does_not_exist_is_an_error(release: Path, tmp_path: Path) -> None:
    """Another distribution would not be what the user wished."""
    Release.faults = {"k3s": 404}
    bench = builder(tmp_path)
    bench.sources.wished = (("k3s", VERSION),)
    said = r"^K3s v1\.36\.5\+k3s1 cannot be downloaded: there"
    with pytest.raises(ImageError, match=said) as caught:
        k3s.binary(cast("Builder", bench))
    assert not isinstance(caught.value, Unreached)
    assert "`halab versions`" in caught.value.hint


def test_a_binary_that_is_too_old_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "k3s").mkdir()
    (tmp_path / "old").write_bytes(BINARY)
    bench = builder(tmp_path)
    bench.sources.folder, bench.sources.k3s_binary = tmp_path, str(tmp_path / "old")
    monkeypatch.setattr(k3s, "version", lambda *_: "k3s version v1.30.2+k3s1 (abc)")
    with pytest.raises(ImageError, match=r"old: K3s v1\.30\.2\+k3s1 is too old") as caught:
        k3s.build(bench)
    assert caught.value.hint == "take v1.32 or newer"


def test_the_release_is_what_the_program_says() -> None:
    assert k3s_release.tag("k3s version v1.36.5+k3s1 (1a2b3c4d)") == VERSION
