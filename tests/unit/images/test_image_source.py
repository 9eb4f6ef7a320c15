"""`images.source`: what is pulled by digest, what is built instead, and what a file may not say."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_engine import FakeEngine
from filelock import FileLock

from lab.base import paths
from lab.base.errors import EngineError, ImageError, InputError
from lab.images import builder as building
from lab.images import image_source
from lab.images.builder import Builder
from lab.images.sources import Sources
from lab.lifecycle.desired_state import configuration
from lab.topology.loader import load
from lab.topology.model import from_json, to_json

if TYPE_CHECKING:
    from pytest import MonkeyPatch

REPOSITORY = "registry.example:5000/labs/halab"
NEEDED = ("upstream", "loadbalancer", "bmc")
SHIPPED = Path(__file__).parents[3] / "topologies"


def digest(image: str) -> str:
    return f"sha256:{image.encode().hex():0<64}"


@dataclass
class Registry(FakeEngine):
    """An engine that reaches one registry, which gives an image by its digest alone."""

    tags: set[str] | None = field(default_factory=set)
    there: dict[str, str] = field(default_factory=dict)
    """Reference → the architecture of the image."""
    pulled: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)

    def pull(self, reference: str, tag: str) -> None:
        self.pulled.append(reference)
        if reference not in self.there:
            raise EngineError(f"fetching {reference}: manifest unknown\nand more")
        self.kinds[tag] = self.there[reference]
        assert self.tags is not None
        self.tags.add(tag)

    def image(self, name: str) -> dict[str, Any] | None:
        return {"Architecture": self.kinds[name]} if self.has_image(name) else None


@dataclass
class Lines:
    """A reporter that keeps what it is told."""

    lines: list[str] = field(default_factory=list)

    def say(self, subject: str, text: str) -> None:
        self.lines.append(f"{subject}: {text}")

    done = say


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: MonkeyPatch) -> Builder:
    """All that an upstream lab needs is listed and there; nothing can be built."""
    source = tmp_path / "images.yaml"
    sources = Sources(
        folder=paths.shipped("images"), cache=tmp_path, arch="amd64", source=str(source)
    )
    engine: Any = Registry(
        there={f"{REPOSITORY}@{digest(image)}": "amd64" for image in NEEDED},
    )
    made = Builder(engine, sources, Lines())
    rows = [f"  {made.tags[image].removeprefix('halab/')}: {digest(image)}" for image in NEEDED]
    source.write_text("\n".join([f"repository: {REPOSITORY}", "digests:", *rows, ""]))
    monkeypatch.setattr(Builder, "_build", built)
    return made


def built(self: Builder, distribution: str) -> None:
    """Build what is missing, as the builder does after it has pulled what it can."""
    for image in self.missing(distribution, "loadbalancer", "bmc"):
        self.engine.tags.add(self.tags[image])  # type: ignore[attr-defined]
        self.reporter.say(image, "building")


def told(builder: Builder) -> str:
    return "\n".join(builder.reporter.lines)  # type: ignore[attr-defined]


def double(builder: Builder) -> Registry:
    engine: Any = builder.engine
    return engine


def test_what_is_listed_is_pulled_by_its_digest_and_not_built(builder: Builder) -> None:
    builder.build("upstream")
    assert double(builder).pulled == [f"{REPOSITORY}@{digest(image)}" for image in NEEDED]
    assert builder.missing(*NEEDED) == []
    assert "building" not in told(builder)
    builder.build("upstream")
    assert len(double(builder).pulled) == 3


def test_without_a_source_nothing_is_pulled(builder: Builder) -> None:
    builder.sources = replace(builder.sources, source="")
    builder.build("upstream")
    assert double(builder).pulled == []


def test_what_is_not_listed_is_built_and_a_line_says_so(builder: Builder) -> None:
    builder.build("k3s")
    key = builder.tags["k3s"].removeprefix("halab/")
    assert double(builder).pulled == []
    assert f"has no digest of {key}: building what is missing here" in told(builder)
    assert "k3s: building" in told(builder)


def test_after_the_first_refusal_nothing_more_is_asked(builder: Builder) -> None:
    double(builder).there.clear()
    builder.build("upstream")
    assert len(double(builder).pulled) == 1
    line = next(line for line in told(builder).splitlines() if line.startswith("images.source"))
    assert line.startswith("images.source: upstream is not pulled (fetching registry.example:5000")
    assert line.endswith("manifest unknown): building what is missing here")
    assert told(builder).count(": building\n") + told(builder).endswith(": building") == 3


def test_an_image_of_another_architecture_is_not_kept(builder: Builder) -> None:
    double(builder).there[f"{REPOSITORY}@{digest('upstream')}"] = "arm64"
    builder.build("upstream")
    assert "is for arm64, not amd64: building" in told(builder)
    assert "upstream: building" in told(builder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must have the keys `repository` and `digests`"),
        ("repository: a", "must have the keys `repository` and `digests`"),
        ("{repository: a, digests: []}", "must have the keys"),
        ("{repository: 'https://a/b', digests: {}}", "has `https://a/b`"),
        ("{repository: a/b:tag, digests: {}}", "has `a/b:tag`"),
        ("{repository: a/b, digests: {'bmc:1': latest}}", "has `latest`"),
        ("{repository: a/b, digests: {'bmc:1': [x]}}", "has `"),
    ],
)
def test_a_file_that_says_something_else_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "images.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        image_source.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        image_source.read(tmp_path / "none.yaml")


def test_a_source_does_not_make_another_lab(tmp_path: Path) -> None:
    path = tmp_path / "images.yaml"
    path.write_text("")
    plain = load(SHIPPED / "1m1w.yaml").topology
    named = load(SHIPPED / "1m1w.yaml", (f"images.source={path}",)).topology
    assert named.images.source == str(path)
    assert configuration(named) == configuration(plain)
    assert '"source"' not in to_json(plain)
    assert from_json(to_json(named)).images == named.images


def test_labs_that_start_at_once_make_images_once(builder: Builder) -> None:
    builder.sources = replace(builder.sources, source="")
    others = [Builder(builder.engine, builder.sources, builder.reporter) for _ in range(3)]
    all_wait = threading.Event()
    quick, wait = Builder._build, Builder._wait
    waiting: list[Builder] = []

    def build_while_others_wait(self: Builder, distribution: str) -> None:
        assert all_wait.wait(30)
        quick(self, distribution)

    def noted_wait(self: Builder, lock: Any) -> None:
        waiting.append(self)
        if len(waiting) == 3:
            all_wait.set()
        wait(self, lock)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Builder, "_build", build_while_others_wait)
        patch.setattr(Builder, "_wait", noted_wait)
        makers = (builder, *others)
        threads = [threading.Thread(target=own.build, args=("upstream",)) for own in makers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert told(builder).count("upstream: building") == 1
    assert told(builder).count("another halab builds images; waiting for it") == 3


def test_who_waits_for_images_does_not_wait_without_end(
    builder: Builder, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "WAIT_S", 0.0)
    lock = FileLock(builder.sources.cache / "images.lock")
    with lock, pytest.raises(ImageError, match=r"it holds .*images\.lock"):
        builder.build("upstream")
    builder.build("upstream")
    lock.acquire(timeout=0)  # a build that has ended holds it no more
    lock.release()
