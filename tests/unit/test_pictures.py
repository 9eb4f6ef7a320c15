"""README's pictures are what the program prints and draws today."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lab.live.status import LabStatus, NodeStatus

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / ".github" / "pictures"


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


def test_status_picture_loads_nothing_from_elsewhere() -> None:
    made = (PICTURES / "status.svg").read_text(encoding="utf-8")
    urls = set(re.findall(r"https?://[^\"')\s<&]+", made))
    # A name space is a name; the API's address is text.
    assert urls == {"http://www.w3.org/2000/svg", "https://127.0.0.1:6443"}


def test_timeline_picture_says_that_it_is_an_example() -> None:
    pictures = program()
    assert pictures.EXAMPLE in pictures.example().run["scenario"]
    assert (PICTURES / "timeline.png").read_bytes().startswith(b"\x89PNG")
