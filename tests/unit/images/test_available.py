"""Which versions are available: from publishers that answer or do not, and here. No network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from lab.base import paths
from lab.base.errors import EngineError
from lab.cli.main import cli
from lab.engine import client
from lab.images import available, components, versions
from lab.images.available import Offer, Shelf
from lab.images.sources import Sources, tags
from lab.topology import releases

if TYPE_CHECKING:
    from pathlib import Path

TABLE = versions.read(paths.shipped("images"))
K3S, UPSTREAM = (TABLE.components[name].version for name in ("k3s", "kubernetes"))
CHANNELS = json.dumps({
    "data": [
        {"name": "stable", "latest": "v1.36.9+k3s1"},
        {"name": "latest", "latest": "v1.37.4+k3s1"},
        {"name": "testing", "latest": "v1.38.0-rc1+k3s1"},
        {"name": "v1.20", "latest": "v1.20.15+k3s1"},
        {"name": "v1.34", "latest": "v1.34.12+k3s1"},
        {"name": "v1.36", "latest": "v1.36.9+k3s1"},
        {"name": "v1.16-testing"},
    ]
})  # fmt: skip
TEXTS = {
    available.K3S_CHANNELS: CHANNELS,
    **{
        available.UPSTREAM_CHANNELS.format(channel=name): f"{version}\n"
        for name, version in {
            "stable": "v1.37.2",
            "stable-1.34": "v1.34.9",
            "stable-1.37": "v1.37.2",
            "stable-1.31": "<html>a portal's page</html>",
        }.items()
    },
}


class World:
    """A double of all that is outside: publishers' texts, their files, Go's proxy, images."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.files = False
        self.module = False
        self.images: set[str] = set()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    outside = World()
    monkeypatch.setattr(available, "_get", lambda url: outside.texts.get(url, ""))
    monkeypatch.setattr(available, "_answers", lambda _: outside.files)
    monkeypatch.setattr(available, "_module", lambda _: outside.module)
    return outside


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(folder=paths.shipped("images"), cache=tmp_path, arch="amd64")


def look(world: World, sources: Sources) -> dict[str, Shelf]:
    shelves = available.look(sources, world.images.__contains__)
    return {shelf.distribution: shelf for shelf in shelves}


def listed(shelf: Shelf) -> dict[str, str]:
    return {offer.version: offer.way for offer in shelf.versions}


def test_with_the_internet_everything_is_a_download(world: World, sources: Sources) -> None:
    world.texts, world.files = TEXTS, True
    shelves = look(world, sources)
    k3s = ["v1.37.4+k3s1", "v1.36.9+k3s1", K3S, "v1.34.12+k3s1"]
    assert listed(shelves["k3s"]) == dict.fromkeys(k3s, "download")
    assert list(listed(shelves["k3s"])) == k3s
    assert listed(shelves["upstream"]) == dict.fromkeys(
        ["v1.37.2", UPSTREAM, "v1.34.9"], "download"
    )
    assert shelves["k3s"].versions[1].channels == ("stable", "v1.36")
    assert [offer.version for offer in shelves["k3s"].versions if offer.default] == [K3S]
    assert shelves["upstream"].asked


def test_without_any_network_nothing_is_promised(world: World, sources: Sources) -> None:
    shelves = look(world, sources)
    assert listed(shelves["k3s"]) == {K3S: ""}
    assert listed(shelves["upstream"]) == {UPSTREAM: ""}
    assert not shelves["k3s"].asked


def test_where_only_go_modules_are_reached_upstream_is_built(
    world: World, sources: Sources
) -> None:
    world.module = True
    assert listed(look(world, sources)["upstream"]) == {UPSTREAM: "build"}
    world.texts = {available.UPSTREAM_CHANNELS.format(channel="stable-1.33"): "v1.33.12"}
    assert listed(look(world, sources)["upstream"]) == {UPSTREAM: "build", "v1.33.12": ""}


def test_what_lies_here_is_listed(world: World, sources: Sources) -> None:
    world.module = True
    row = versions.read(sources.folder, {"kubernetes": "v1.35.4"}).components["kubernetes"]
    home = components.home_of(row, sources.cache, sources.folder, "amd64")
    home.mkdir(parents=True)
    half = components.home_of(
        versions.read(sources.folder, {"kubernetes": "v1.33.1"}).components["kubernetes"],
        sources.cache, sources.folder, "amd64")  # fmt: skip
    half.mkdir()
    (home / "way").write_text(components.DOWNLOADED)
    folder = sources.cache / "download" / "k3s-v1.34.6+k3s1"
    folder.mkdir(parents=True)
    (folder / "k3s").write_text("x")
    empty = sources.cache / "download" / "k3s-v1.35.3+k3s1"
    empty.mkdir()
    (empty / "k3s.lock").write_text("")
    shelves = look(world, sources)
    assert listed(shelves["upstream"]) == {UPSTREAM: "build", "v1.35.4": "cache"}
    assert listed(shelves["k3s"]) == {K3S: "", "v1.34.6+k3s1": "cache"}
    world.images.add(tags(sources)["upstream"])
    assert listed(look(world, sources)["upstream"])[UPSTREAM] == "image"


def test_candidates_come_before_what_they_are_candidates_of() -> None:
    words = ["v1.37.0", "v1.36.10", "v1.37.0-rc.1", "v1.36.9"]
    expected = ["v1.36.9", "v1.36.10", "v1.37.0-rc.1", "v1.37.0"]
    assert sorted(words, key=available._order) == expected


@pytest.mark.parametrize(
    "text", ["", "<html>", "[]", '{"data": 1}', '{"data": [{}]}', '{"data": ["x"]}']
)
def test_a_channel_server_that_says_nonsense_says_nothing(text: str) -> None:
    assert available.k3s_channels(text) == {}


def test_a_server_that_is_not_there_is_no_error() -> None:
    nobody = "http://127.0.0.1:9/"  # discard: nobody listens
    assert available._get(nobody) == ""
    assert available._answers(nobody) is False


def test_defaults_are_versions_that_halab_takes() -> None:
    for distribution, version in (("k3s", K3S), ("upstream", UPSTREAM)):
        assert not releases.too_old(distribution, version)
        assert set(available.WHY) == set(available.KEYS) == {"k3s", "upstream"}


def test_the_command_needs_no_engine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> None:
        raise EngineError("no Docker engine answers")

    monkeypatch.setattr(client, "connect", nobody)
    monkeypatch.setattr("lab.cli.versions.architecture", lambda: "amd64")
    world.texts = TEXTS
    result = CliRunner().invoke(cli, ["versions"])
    assert result.exit_code == 0, result.output
    assert f"k3s           {K3S} *" in result.stdout
    assert "not reached; give `images: {k3s_binary: PATH}`" in result.stdout
    assert "`stable` is v1.36.9+k3s1 now" in result.stderr
    assert "no engine answers" in result.stderr
    answer = json.loads(CliRunner().invoke(cli, ["versions", "upstream", "-o", "json"]).stdout)
    assert [shelf["distribution"] for shelf in answer] == ["upstream"]
    assert answer[0]["key"] == "kubernetes.version"
    assert Offer(**answer[0]["versions"][0]).version == "v1.37.2"
