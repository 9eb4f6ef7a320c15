"""Which distribution a lab gets: built beats preferred, and why the others were not taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from lab.base.errors import ImageError, InputError, LabError, Unreached
from lab.base.progress import Silent
from lab.lifecycle import distribution_choice

if TYPE_CHECKING:
    from lab.images.builder import Builder

PREFERRED = ("k3s", "upstream")


@dataclass
class FakeBuilder:
    """A double of the builder: what is built, and how building another one fails."""

    built: set[str] = field(default_factory=set)
    errors: dict[str, LabError] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    reporter: Silent = field(default_factory=Silent)

    def missing(self, *images: str) -> tuple[str, ...]:
        return tuple(name for name in images if name in PREFERRED and name not in self.built)

    def build(self, distribution: str) -> None:
        self.tried.append(distribution)
        if distribution in self.errors:
            raise self.errors[distribution]


def choose(builder: FakeBuilder, forced: str = "") -> distribution_choice.Choice:
    return distribution_choice.choose(PREFERRED, cast("Builder", builder), forced)


def test_choose_takes_the_first_when_both_are_built() -> None:
    builder = FakeBuilder(built={"k3s", "upstream"})
    choice = choose(builder)
    assert (choice.distribution.name, choice.why_not, builder.tried) == ("k3s", (), [])


def test_choose_takes_a_built_one_and_says_why_not_the_preferred() -> None:
    builder = FakeBuilder(built={"upstream"})
    choice = choose(builder)
    assert choice.distribution.name == "upstream"
    (why,) = choice.why_not
    assert why.startswith("k3s: its image is not built here")
    assert "halab images build --distribution k3s" in why
    assert builder.tried == []


def test_choose_builds_the_first_when_none_is_built() -> None:
    builder = FakeBuilder()
    assert choose(builder).distribution.name == "k3s"
    assert builder.tried == ["k3s"]


def test_choose_builds_the_next_and_says_why_not_when_the_first_is_not_reached() -> None:
    builder = FakeBuilder(errors={"k3s": Unreached("no way to github.com\nmore")})
    choice = choose(builder)
    assert choice.distribution.name == "upstream"
    assert choice.why_not == ("k3s: no way to github.com",)


def test_choose_raises_the_last_error_when_none_is_reached() -> None:
    builder = FakeBuilder(errors={name: Unreached(f"no {name}") for name in PREFERRED})
    with pytest.raises(Unreached, match="no upstream"):
        choose(builder)


def test_choose_raises_and_names_the_other_when_a_build_fails() -> None:
    builder = FakeBuilder(errors={"k3s": ImageError("wrong checksum", "try again")})
    with pytest.raises(ImageError, match="wrong checksum") as caught:
        choose(builder)
    assert caught.value.hint == "try again; or take `--distribution upstream`"
    assert builder.tried == ["k3s"]


def test_choose_takes_the_forced_one_whatever_is_built() -> None:
    builder = FakeBuilder(built={"upstream"})
    assert choose(builder, "k3s").distribution.name == "k3s"
    assert builder.tried == ["k3s"]


def test_choose_refuses_when_the_forced_one_is_unknown() -> None:
    with pytest.raises(InputError, match="no distribution `k4s`"):
        choose(FakeBuilder(), "k4s")


def test_choose_names_no_other_when_the_last_fails() -> None:
    builder = FakeBuilder(errors={"upstream": ImageError("the disk is full")})
    with pytest.raises(ImageError) as caught:
        choose(builder, "upstream")
    assert caught.value.hint == ""


def test_choose_raises_when_nothing_is_preferred() -> None:
    with pytest.raises(ImageError, match="no distribution is available"):
        distribution_choice.choose((), cast("Builder", FakeBuilder()))


@pytest.mark.parametrize(
    ("built", "forced", "name"),
    [
        ({"upstream"}, "", "upstream"),
        (set(), "", "k3s"),
        ({"k3s"}, "upstream", "upstream"),
        ({"k3s", "upstream"}, "", "k3s"),
    ],
)
def test_likely_names_what_choose_would_begin_with_and_builds_nothing(
    built: set[str], forced: str, name: str
) -> None:
    builder = FakeBuilder(built=built)
    found = distribution_choice.likely(PREFERRED, cast("Builder", builder), forced)
    assert (found.name, builder.tried) == (name, [])


def test_settled_keeps_the_labs_distribution_and_asks_nobody() -> None:
    assert distribution_choice.settled("upstream").distribution.name == "upstream"
    assert distribution_choice.settled("upstream").why_not == ()
