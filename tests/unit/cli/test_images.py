"""Commands about images: what is in use stays, what is no version is not built."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from fake_engine import FakeEngine
from halab_runner import halab

from lab.base.errors import LabError
from lab.cli import images
from lab.engine import client

if TYPE_CHECKING:
    from pathlib import Path


def test_images_remove_goes_on_when_one_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(tags={f"halab/{name}:1" for name in ("base", "node", "upstream")})
    engine.add("halab-3m3w-m", "3m3w")
    engine.containers["halab-3m3w-m"].image = "halab/node:1"
    monkeypatch.setattr(client, "connect", lambda: engine)
    done = halab("images", "remove", code=1)
    assert engine.tags == {"halab/node:1"}
    assert "1 of the images are still here" in done.stderr
    assert "removing image halab/node:1: conflict" in done.stderr
    assert "labs here: 3m3w" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["v1.36"], "--version is `v1.36`, not a version of Kubernetes"),
        (["v1.20.6+k3s1"], "--version is v1.20.6+k3s1, which is too old"),
        (["v1.35.4", "--distribution", "k3s"], "--version is `v1.35.4`, not a version of K3s"),
    ],
)
def test_images_of_no_version_are_not_built(words: list[str], message: str) -> None:
    assert message in halab("images", "build", "--version", *words, code=2).stderr


class BuilderDouble:
    """A double of a builder: two images are built, one is not; saving gives their names."""

    tags = {  # noqa: RUF012 (a double)
        "base": "halab/base:1",
        "k3s": "halab/k3s:1",
        "pods/coredns": "halab/pods-coredns:1",
        "go": "halab/go:1",
    }

    def __init__(self, *built: str) -> None:
        self.engine, self.built = self, built
        self.sources = SimpleNamespace(arch="amd64")

    def has_image(self, tag: str) -> bool:
        return tag in self.built

    def images(self) -> dict[str, dict[str, int]]:
        return {tag: {"Size": 5_000_000} for tag in self.built}

    def save(self, tags: list[str], arch: str) -> list[bytes]:
        return [f"{','.join(tags)} {arch}".encode()]


def test_images_save_writes_what_nodes_need_and_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    double = BuilderDouble("halab/k3s:1", "halab/pods-coredns:1", "halab/go:1")
    monkeypatch.setattr(images, "_builder", lambda: double)
    done = CliRunner().invoke(images.save_command, [str(tmp_path / "x.tar")])
    assert done.exit_code == 0
    assert (tmp_path / "x.tar").read_text() == "halab/k3s:1,halab/pods-coredns:1 amd64"
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


def test_images_save_of_nothing_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(images, "_builder", BuilderDouble)
    done = CliRunner().invoke(images.save_command, [str(tmp_path / "x.tar")])
    assert isinstance(done.exception, LabError)
    assert "`halab images build` builds them" in done.exception.hint


def test_images_list_says_what_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_builder", lambda: BuilderDouble("halab/k3s:1"))
    lines = CliRunner().invoke(images.list_command).stdout.splitlines()
    sizes = {line.split()[0]: line.split("  ")[-1].strip() for line in lines[1:]}
    assert (sizes["k3s"], sizes["base"]) == ("5 MB", "not built")
