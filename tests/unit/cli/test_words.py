"""What the words of a command line mean: a lab, a file, a shipped topology; what is no name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_engine import FakeEngine

from lab.base.errors import InputError
from lab.cli import common, lifecycle
from lab.engine import client
from lab.live import lab
from lab.topology.loader import load
from lab.topology.model import to_json

if TYPE_CHECKING:
    from lab.topology.model import Topology

SHIPPED = Path(__file__).parents[3] / "topologies"


def engine_with(*topologies: Topology) -> FakeEngine:
    """Return an engine that holds a lab of each topology."""
    return FakeEngine(
        networks={one.name: one.name for one in topologies},
        topologies={one.name: to_json(one) for one in topologies},
    )


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Topology:
    """A lab that bears a shipped topology's name, but was made with another value."""
    made = load(SHIPPED / "3m3w.yaml", ("ha.token=400ms",)).topology
    monkeypatch.setattr(client, "connect", lambda: engine_with(made))
    monkeypatch.chdir(tmp_path)
    return made


def meant(word: str, *overrides: str, name: str = "") -> Topology:
    return lifecycle._lab(word, overrides, name).topology


def test_a_word_that_names_a_lab_means_that_lab(changed: Topology) -> None:
    assert meant("3m3w") == changed


def test_files_called_like_a_lab_are_not_in_the_way(changed: Topology) -> None:
    Path("3m3w").mkdir()
    assert meant("3m3w") == changed
    Path("3m3w").rmdir()
    Path("3m3w").write_text("no topology")
    assert meant("3m3w") == changed


def test_whoever_wants_the_file_can_say_so(changed: Topology) -> None:
    shipped = load(SHIPPED / "3m3w.yaml").topology
    Path("3m3w.yaml").write_text((SHIPPED / "3m3w.yaml").read_text())
    assert meant("3m3w.yaml") == meant("./3m3w.yaml") == shipped
    assert meant("3m3w", "ha.token=2s").ha.token_ms == 2000
    assert meant("3m3w", name="other").name == "other"
    assert meant("1m1w").name == "1m1w"


def test_a_folder_does_not_hide_a_shipped_topology(changed: Topology) -> None:
    del changed
    Path("1m1w").mkdir()
    assert meant("1m1w").name == "1m1w"
    Path("demo").mkdir()
    with pytest.raises(InputError, match="demo is a folder"):
        meant("demo")


def test_a_lab_that_is_half_there_is_completed_from_its_file(
    monkeypatch: pytest.MonkeyPatch, topology: Topology
) -> None:
    double = FakeEngine(volumes={"halab-3m3w-secrets": "3m3w"})
    monkeypatch.setattr(client, "connect", lambda: double)
    assert meant("3m3w") == topology
    assert not common.is_lab("3m3w", double)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="only half there"):
        lab.find(double, "3m3w")  # type: ignore[arg-type]
