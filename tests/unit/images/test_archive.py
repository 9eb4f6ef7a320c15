"""Tars of images as Docker, Podman and Buildah write them, and what is none."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from lab.base.errors import InputError
from lab.images import archive
from lab.images.archive import NamedImage, full_name

if TYPE_CHECKING:
    from pathlib import Path


DOCKER_LIST = [{"Config": "blobs/sha256/c0ffee", "RepoTags": ["app:dev"], "Layers": []}]


OCI_LIST = {
    "manifests": [
        {"digest": "sha256:beef", "annotations": {archive.NAME: "docker.io/library/app:dev"}}
    ]
}


def tar(path: Path, files: dict[str, Any], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as target:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("app", "docker.io/library/app:latest"),
        ("me/app:1", "docker.io/me/app:1"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("localhost/app:dev", "localhost/app:dev"),
        ("registry.example/me/app:1", "registry.example/me/app:1"),
    ],
)
def test_a_name_is_what_containerd_makes_of_it(name: str, full: str) -> None:
    assert archive.with_tag(name) == full


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_dockers_list_gives_name_and_configuration(tmp_path: Path, mode: str) -> None:
    path = tar(tmp_path / "app.tar", {"x": b"y", "manifest.json": DOCKER_LIST}, mode)
    assert archive.read(path) == (NamedImage("docker.io/library/app:dev", "c0ffee"),)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_what_a_node_is_sent_is_not_packed(tmp_path: Path, mode: str) -> None:
    """containerd's client imports plain tars only, where it imports by itself."""
    path = tar(tmp_path / "app.tar", {"manifest.json": DOCKER_LIST}, mode)
    with archive.unpacked(path) as plain:
        assert plain.read(13) == b"manifest.json"


def test_dockers_list_comes_first_for_it_has_the_engines_id(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"index.json": OCI_LIST, "manifest.json": DOCKER_LIST})
    assert archive.read(path)[0].id == "c0ffee"


def test_an_older_list_names_its_configuration_as_a_file(tmp_path: Path) -> None:
    rows = [{"Config": "c0ffee.json", "RepoTags": ["localhost/a:1", "b"]}]
    found = archive.read(tar(tmp_path / "a.tar", {"./manifest.json": rows}))
    assert found == (
        NamedImage("localhost/a:1", "c0ffee"),
        NamedImage("docker.io/library/b:latest", "c0ffee"),
    )


def test_the_oci_layout_gives_name_and_manifest(tmp_path: Path) -> None:
    path = tar(tmp_path / "app.tar", {"oci-layout": {}, "index.json": OCI_LIST})
    assert archive.read(path) == (NamedImage("docker.io/library/app:dev", "beef"),)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme": b"hello"}, "holds no images"),
        ({"manifest.json": b"{"}, "is not a tar of images"),
        ({"manifest.json": [1]}, "in no known form"),
        ({"manifest.json": {"a": 1}}, "in no known form"),
        ({"manifest.json": [{"Config": "x", "RepoTags": None}]}, "no image that has a name"),
        ({"index.json": {"manifests": [{"digest": "sha256:1"}]}}, "no image that has a name"),
    ],
)
def test_a_tar_that_holds_no_image_is_refused(
    tmp_path: Path, files: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        archive.read(tar(tmp_path / "bad.tar", files))


@pytest.mark.parametrize("data", [b"", b"no tar at all", bytes(5000)])
def test_what_is_no_tar_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"bad\.tar is (not )?a tar") as caught:
        archive.read(path)
    assert "\n" not in caught.value.message
    assert "bad.tar" not in caught.value.hint  # it must not be told to overwrite the file


def test_a_tar_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "cut.tar.gz", {"x": bytes(100_000), "manifest.json": DOCKER_LIST}, "w:gz")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match="is not a tar of images"):
        archive.read(path)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("registry.k8s.io/a/b:1", "registry.k8s.io/a/b:1"),
        ("rancher/x:1", "docker.io/rancher/x:1"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("localhost/x:1", "localhost/x:1"),
    ],
)
def test_names_of_images_in_full(name: str, full: str) -> None:
    assert full_name(name) == full
