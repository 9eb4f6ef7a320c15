"""Upstream's own binaries, from a server on loopback that is laid out as the publishers' are.

Each by its checksum, pinned for the table's version; or built from Go modules, for any version.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar

import pytest
from loopback_server import answering

from lab.base import paths as data
from lab.base.errors import ImageError, Unreached
from lab.base.progress import Silent
from lab.images import components, download, go_build, go_modules, upstream, versions
from lab.images.sources import sources_for, tags
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHIPPED = data.shipped("images")
TABLE = versions.read(SHIPPED).components["kubernetes"]
PROGRAMS = (*upstream.KUBERNETES[:-1],)


class Server(SimpleHTTPRequestHandler):
    """Serves a folder and notes what was asked for."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        if "Range" not in self.headers:
            self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """Return the server's address and its folder."""
    folder = tmp_path / "site"
    folder.mkdir()
    Server.asked = []
    monkeypatch.setattr(components, "_silent", set())
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    handler = partial(Server, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, answering(server):
        yield f"http://127.0.0.1:{server.server_port}", folder


def publish(folder: Path, version: str = "v1.36.3", arch: str = "amd64") -> None:
    place = folder / "release" / version / "bin" / "linux" / arch
    place.mkdir(parents=True)
    for name in PROGRAMS:
        content = f"{name} {version}".encode()
        (place / name).write_bytes(content)
        (place / f"{name}.sha256").write_text(hashlib.sha256(content).hexdigest())
    etcd = folder / "etcd-io" / "etcd" / "releases" / "download" / "v3.6.14"
    etcd.mkdir(parents=True, exist_ok=True)
    archive = etcd / f"etcd-v3.6.14-linux-{arch}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("etcd", "etcdctl"):
            row = tarfile.TarInfo(f"etcd-v3.6.14-linux-{arch}/{name}")
            row.size = len(name)
            tar.addfile(row, io.BytesIO(name.encode()))
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    (etcd / "SHA256SUMS").write_text(f"{'0' * 64}  other.zip\n{right}  {archive.name}\n")


def table(site: str, tmp_path: Path, pins: dict[str, str] | None = None) -> Path:
    """Write the shipped table with the server's addresses, and without pins or with other ones."""
    folder = tmp_path / "images"
    (folder / "kubernetes").mkdir(parents=True)
    for file in (SHIPPED / "kubernetes").iterdir():
        (folder / "kubernetes" / file.name).write_bytes(file.read_bytes())
    text = (SHIPPED / "versions.yaml").read_text()
    for host in ("https://dl.k8s.io", "https://github.com"):
        text = text.replace(host, site)
    for row in TABLE.published:
        for rows in row.sha256.values():
            for name, value in rows.items():
                new = f"{name}: {(pins or {}).get(name)}" if name in (pins or {}) else f"x{name}: x"
                text = text.replace(f"{name}: {value}", new)
    (folder / "versions.yaml").write_text(text)
    return folder


def obtain(folder: Path, tmp_path: Path, version: str = "") -> dict[str, Path]:
    row = versions.read(folder, {"kubernetes": version}).components["kubernetes"]
    return components.obtain(row, tmp_path / "cache", folder, "amd64", Silent())


@pytest.fixture
def no_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> None:
        pytest.fail("Go was used")

    monkeypatch.setattr(go_build, "build", build)


def test_binaries_are_downloaded_each_by_its_checksum(
    site: tuple[str, Path], tmp_path: Path, no_go: None
) -> None:
    publish(site[1])
    binaries = obtain(table(site[0], tmp_path), tmp_path)
    assert sorted(binaries) == sorted(upstream.KUBERNETES)
    for name, path in binaries.items():
        assert path.read_text() == ("etcd" if name == "etcd" else f"{name} v1.36.3")
        assert path.stat().st_mode & 0o777 == 0o755
    assert (binaries["etcd"].parent / "way").read_text() == components.DOWNLOADED
    Server.asked.clear()
    assert obtain(table(site[0], tmp_path / "again"), tmp_path) == binaries
    assert Server.asked == []


def test_another_version_lies_beside(site: tuple[str, Path], tmp_path: Path, no_go: None) -> None:
    publish(site[1])
    publish(site[1], "v1.35.4")
    folder = table(site[0], tmp_path)
    one, other = obtain(folder, tmp_path), obtain(folder, tmp_path, "v1.35.4")
    assert one["kubelet"].read_text() == "kubelet v1.36.3"
    assert other["kubelet"].read_text() == "kubelet v1.35.4"


def test_pinned_checksums_are_believed_and_no_other(
    site: tuple[str, Path], tmp_path: Path, no_go: None
) -> None:
    publish(site[1])
    right = hashlib.sha256(b"kubelet v1.36.3").hexdigest()
    obtain(table(site[0], tmp_path, {"kubelet": right}), tmp_path)
    assert not [path for path in Server.asked if path.endswith("kubelet.sha256")]
    with pytest.raises(ImageError, match=r"/kubelet: wrong checksum"):
        obtain(table(site[0], tmp_path / "b", {"kubelet": "0" * 64}), tmp_path / "b")


def test_a_pin_is_of_the_tables_version(
    site: tuple[str, Path], tmp_path: Path, no_go: None
) -> None:
    publish(site[1], "v1.35.4")
    binaries = obtain(table(site[0], tmp_path, {"kubelet": "0" * 64}), tmp_path, "v1.35.4")
    assert binaries["kubelet"].read_text() == "kubelet v1.35.4"


def test_what_came_stays_for_a_retry(site: tuple[str, Path], tmp_path: Path, no_go: None) -> None:
    publish(site[1])
    last = site[1] / "release" / "v1.36.3" / "bin" / "linux" / "amd64" / "kubectl"
    content = last.read_bytes()
    last.write_bytes(b"half of it")
    folder = table(site[0], tmp_path)
    with pytest.raises(ImageError, match="wrong checksum"):
        obtain(folder, tmp_path)
    last.write_bytes(content)
    Server.asked.clear()
    obtain(folder, tmp_path)
    assert [path for path in Server.asked if not path.endswith((".sha256", "SUMS"))] == [
        "/release/v1.36.3/bin/linux/amd64/kubectl"
    ]


def test_without_one_publisher_all_is_built(
    site: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(site[1])
    (site[1] / "etcd-io" / "etcd" / "releases" / "download" / "v3.6.14").rename(tmp_path / "away")

    def build(component: object, home: Path, *_: object) -> None:
        (home / "kube").write_text("built")

    monkeypatch.setattr(go_build, "build", build)
    binaries = obtain(table(site[0], tmp_path), tmp_path)
    assert list(binaries) == ["kube"]
    assert components.origin(binaries["kube"].parent) == "built from images/"


def test_a_wished_version_that_is_not_published_is_an_error(
    site: tuple[str, Path], tmp_path: Path, no_go: None
) -> None:
    publish(site[1])
    with pytest.raises(ImageError, match=r"kubernetes v1\.35\.99 is not published") as caught:
        obtain(table(site[0], tmp_path), tmp_path, "v1.35.99")
    assert caught.value.hint == "`halab versions` lists those that are"


def test_the_image_gets_files_or_links(tmp_path: Path) -> None:
    """Built, one binary is called by seven names; downloaded, there are seven."""
    for names in (("kube",), upstream.KUBERNETES):
        place = tmp_path / names[0]
        for folder in ("bin", "context"):
            (place / folder).mkdir(parents=True)
        for name in names:
            (place / "bin" / name).write_text(name)
        paths = {name: place / "bin" / name for name in names}
        binaries = {"kubernetes": paths}
        builder = SimpleNamespace(obtain=lambda name, binaries=binaries: binaries.get(name, {}))
        upstream._binaries(builder, place / "context")  # type: ignore[arg-type]
        for name in upstream.KUBERNETES:
            path = place / "context" / "bin" / name
            assert path.read_text() == ("kube" if names == ("kube",) else name)
            assert path.is_symlink() is (names == ("kube",))


# --- the table


def test_checksums_are_pinned_for_both_architectures() -> None:
    for row in TABLE.published:
        for arch in ("amd64", "arm64"):
            names = row.binaries
            if row.archive:
                names = (TABLE.address(row, row.url, arch).rsplit("/", 1)[1],)
            assert tuple(row.sha256[arch]) == names
            assert all(len(value) == 64 and int(value, 16) for value in row.sha256[arch].values())


def test_etcd_is_the_one_that_go_builds_in() -> None:
    etcd = TABLE.published[1]
    assert go_modules.pinned("go.etcd.io/etcd/server/v3", SHIPPED / "kubernetes") == etcd.version
    assert go_modules.pinned("k8s.io/kubernetes", SHIPPED / "kubernetes") == TABLE.version


def test_programs_say_the_version_that_was_wished() -> None:
    row = versions.read(SHIPPED, {"kubernetes": "v1.35.4"}).components["kubernetes"]
    flags = row.expand(row.ldflags, "amd64")
    assert "gitVersion=v1.35.4 " in flags
    assert flags.endswith("gitMinor=35")
    assert TABLE.ldflags.endswith("gitMinor=36")


def test_a_wish_changes_its_image_and_no_other(tmp_path: Path) -> None:
    file = data.shipped("topologies") / "1m1w.yaml"
    topology = loader.load(file).topology
    chosen = loader.load(file, ("kubernetes.version=v1.35.4",)).topology
    engine = SimpleNamespace(about={"Architecture": "x86_64"})
    plain = sources_for(engine, topology)  # type: ignore[arg-type]
    wished = sources_for(engine, chosen)  # type: ignore[arg-type]
    before, after = tags(plain), tags(wished)
    assert {name for name in before if before[name] != after[name]} == {"upstream"}
    named = loader.load(file, (f"kubernetes.version={TABLE.version}",)).topology
    same = sources_for(engine, named)  # type: ignore[arg-type]
    assert tags(same) == before


def test_where_a_version_comes_from_does_not_change_an_image() -> None:
    """Nothing is built anew because a checksum or an address was added to the table."""
    assert "published" not in repr(TABLE)
    assert "sha256=" not in repr(TABLE)


# --- from Go modules

THEIRS = {
    "Module": {"Path": "k8s.io/kubernetes"},
    "Go": "1.27.0",
    "Require": [
        {"Path": "k8s.io/api", "Version": "v0.0.0"},
        {"Path": "k8s.io/kubectl", "Version": "v0.0.0"},
        {"Path": "example.org/other", "Version": "v1.2.3"},
    ],
}
OURS = """module halab.test/kubernetes
go 1.26.0
require (
\tgo.etcd.io/etcd/server/v3 v3.6.14
\tk8s.io/kubectl v0.0.0
\tk8s.io/kubernetes v1.36.3
)
require example.org/other v1.9.9 // indirect
"""


def test_another_version_gets_the_go_mod_that_it_would_have_had(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(OURS)
    (tmp_path / "go.sum").write_text("x")
    ours = {
        "Module": {"Path": "halab.test/kubernetes"},
        "Go": "1.26.0",
        "Require": [
            {"Path": "go.etcd.io/etcd/server/v3", "Version": "v3.6.14"},
            {"Path": "k8s.io/kubectl", "Version": "v0.0.0"},
            {"Path": "k8s.io/kubernetes", "Version": "v1.36.3"},
            {"Path": "example.org/other", "Version": "v1.9.9", "Indirect": True},
        ],
    }
    said = {"go.mod": ours, "theirs": THEIRS}

    def go(*argv: str) -> str:
        if argv[:3] == ("mod", "download", "-json"):
            assert argv[3] == "k8s.io/kubernetes@v1.35.4"
            return json.dumps({"GoMod": "theirs"})
        assert argv[:3] == ("mod", "edit", "-json")
        return json.dumps(said[argv[3]])

    go_modules.repin("k8s.io/kubernetes", "v1.35.4", tmp_path, go)
    assert (tmp_path / "go.mod").read_text().splitlines() == [
        "module halab.test/kubernetes",
        "go 1.27.0",
        "require go.etcd.io/etcd/server/v3 v3.6.14",
        "require k8s.io/kubectl v0.35.4",
        "require k8s.io/kubernetes v1.35.4",
        "replace k8s.io/api => k8s.io/api v0.35.4",
        "replace k8s.io/kubectl => k8s.io/kubectl v0.35.4",
    ]
    assert not (tmp_path / "go.sum").exists()
    assert go_modules.pinned("k8s.io/kubernetes", tmp_path) == "v1.35.4"


def test_what_go_cannot_build_is_told_before_it_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(go_build, "_go", lambda *_: pytest.fail("Go was used"))
    monkeypatch.setattr(go_build, "find_go", lambda _: "go")
    row = versions.read(SHIPPED, {"kubernetes": "v1.33.1"}).components["kubernetes"]
    with pytest.raises(Unreached, match=r"kubernetes v1\.33\.1 cannot be downloaded") as caught:
        go_build.build(row, tmp_path, tmp_path, SHIPPED, "amd64")
    assert caught.value.hint == "from Go modules it is built from v1.34 on"


def test_the_pinned_version_is_built_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def go(argv: list[str], *_: object) -> str:
        asked.append(argv[1:3])
        return ""

    monkeypatch.setattr(go_build, "_go", go)
    monkeypatch.setattr(go_build, "find_go", lambda _: "go")
    go_build.build(TABLE, tmp_path, tmp_path, SHIPPED, "amd64")
    assert asked == [["build", "-trimpath"]]
