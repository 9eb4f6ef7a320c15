"""README's pictures are what the program prints and draws today."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.live.status import LabStatus, NodeStatus
from lab.watch import screen
from lab.watch.screen import Line

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / ".github" / "pictures"


@pytest.fixture(autouse=True)
def _bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tests" / "bench")


def program() -> ModuleType:
    path = ROOT / "tests" / "bench" / "pictures.py"
    spec = importlib.util.spec_from_file_location("pictures", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def test_recorded_status_has_the_fields_of_a_status() -> None:
    recorded = json.loads(program().RECORDED.read_text(encoding="utf-8"))
    assert set(recorded) == names(LabStatus)
    assert all(set(node) == names(NodeStatus) for node in recorded["nodes"])


def test_status_picture_is_what_status_prints_today() -> None:
    pictures = program()
    made = (PICTURES / "status.svg").read_text(encoding="utf-8")
    assert made == pictures.status_svg(pictures.recorded()), "run `make pictures`"


def test_watch_picture_is_what_the_watch_draws_today() -> None:
    watch = program().watch_picture
    made = (PICTURES / "watch.svg").read_text(encoding="utf-8")
    assert made == watch.svg(watch.history()), "run `make pictures`"
    assert "fenced: m" in made
    assert len(made) <= 1_000_000


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_watch_picture_is_the_same_in_every_time_zone(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    watch = program().watch_picture
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        shown = next(watch.states(watch.history()))
        assert screen.clock(shown, shown.now).startswith("17:57:")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_row_of_the_watch_picture_is_drawn_once_while_it_stays_the_same() -> None:
    watch = program().watch_picture
    same, other = Line([("VIP", "good")]), Line([("no VIP", "bad")])
    drawn = list(watch.rows([[same], [same], [other], [same]]))
    assert [(row.begin, row.end, row.pieces[0][0]) for row in drawn] == [
        (0, 2, "VIP"),
        (2, 3, "no VIP"),
        (3, 4, "VIP"),
    ]


@pytest.mark.parametrize(
    ("picture", "urls"), [("status.svg", {"https://127.0.0.1:6443"}), ("watch.svg", set())]
)
def test_a_picture_loads_nothing_from_elsewhere(picture: str, urls: set[str]) -> None:
    made = (PICTURES / picture).read_text(encoding="utf-8")
    # A name space is a name; the API's address is text.
    found = set(re.findall(r"https?://[^\"')\s<&]+", made))
    assert found == {"http://www.w3.org/2000/svg", *urls}
    assert "<script" not in made


def test_timeline_picture_says_that_it_is_an_example() -> None:
    pictures = program()
    assert pictures.EXAMPLE in pictures.example().run["scenario"]
    assert (PICTURES / "timeline.png").read_bytes().startswith(b"\x89PNG")
