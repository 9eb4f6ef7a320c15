"""When fencing cannot be turned off, and why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.chaos.faults.fencing import FencingOff
from lab.engine.commands import Result


def site(value: str, *, fencing: bool = True) -> Any:
    node = SimpleNamespace(name="m", role="master", run=lambda _: Result(0, value + "\n"))
    return SimpleNamespace(node=node, topology=SimpleNamespace(ha=SimpleNamespace(fencing=fencing)))


@pytest.mark.parametrize(
    ("value", "fencing", "reason"),
    [
        ("true", True, ""),
        ("false", False, "`ha: {fencing: none}`"),
        ("false", True, "somebody turned fencing off already"),
    ],
)
def test_what_turned_fencing_off_is_told(value: str, *, fencing: bool, reason: str) -> None:
    refused = FencingOff().check(site(value, fencing=fencing), {})
    assert reason in refused
    assert bool(refused) == bool(reason)
