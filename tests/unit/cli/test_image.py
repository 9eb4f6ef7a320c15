"""image: what it prints; loading itself is in tests/unit/live/test_image_load.py."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from halab_runner import halab

from lab.cli import image
from lab.live import image_load
from lab.live.image_load import OFF, NodeImage

APP = "docker.io/library/app:dev"


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What becomes of an image on each node of the only lab."""
    states = {"m": "loaded", "w1": "present"}

    def load(*_: object) -> tuple[NodeImage, ...]:
        return tuple(NodeImage(node, APP, state) for node, state in states.items())

    monkeypatch.setattr(image, "find_lab", lambda name, _: SimpleNamespace(name=name))
    monkeypatch.setattr(image_load, "load", load)
    return states


def test_image_load_says_what_became_of_it_on_each_node(states: dict[str, str]) -> None:
    rows = [line.split() for line in halab("image", "load", "1m1w", "app:dev").stdout.splitlines()]
    assert rows[1:] == [[node, APP, state] for node, state in states.items()]
    answer = json.loads(halab("image", "load", "1m1w", "app:dev", "-o", "json").stdout)
    assert answer[0] == {"node": "m", "image": APP, "state": "loaded"}


def test_image_load_fails_when_a_node_is_off(states: dict[str, str]) -> None:
    states["w1"] = OFF
    done = halab("image", "load", "1m1w", "app:dev", code=1)
    assert "not loaded into w1: off" in done.stderr
    assert f"w1    {APP}  {OFF}" in done.stdout
