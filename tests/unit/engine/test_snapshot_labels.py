"""An image that was made of a container hands its labels on: they must not make it a lab's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lab.engine.client import Engine
from lab.engine.labels import LABEL, LABEL_NODE, LABEL_SNAPSHOT

LABELS = {LABEL: "x", LABEL_NODE: "", "halab.distribution": "upstream"}


def engine(*containers: dict[str, str], calls: list[Any]) -> Engine:
    rows = [
        {"Id": "1", "Names": ["/a"], "State": "running", "Image": "i:1", "Labels": labels}
        for labels in containers
    ]
    network = {"Name": "halab-x", "Labels": {LABEL: "x", LABEL_SNAPSHOT: "mine"}}
    api = SimpleNamespace(
        networks=lambda **_: [network],
        volumes=lambda **_: {"Volumes": None},
        containers=lambda **_: rows,
        commit=lambda *words, **more: calls.append((words, more)),
    )
    return Engine(SimpleNamespace(api=api))  # type: ignore[arg-type]


def test_an_empty_label_says_nothing() -> None:
    held = engine(LABELS, {LABEL: "", LABEL_NODE: "m"}, calls=[]).labs()
    assert set(held) == {"x"}
    assert [one.labels for one in held["x"].containers] == [
        {LABEL: "x", "halab.distribution": "upstream"}
    ]
    assert held["x"].snapshot == "mine"


def test_an_image_of_a_container_is_no_labs() -> None:
    calls: list[Any] = []
    engine(calls=calls).commit("halab-x-m", "halab-snapshot/mine:m", {LABEL_SNAPSHOT: "mine"})
    ((words, more),) = calls
    assert (words, more["repository"], more["tag"]) == (
        ("halab-x-m",),
        "halab-snapshot/mine",
        "m",
    )
    labels = more["conf"]["Labels"]
    assert (labels[LABEL], labels[LABEL_NODE], labels[LABEL_SNAPSHOT]) == ("", "", "mine")
