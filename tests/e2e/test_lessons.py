"""Lessons are played on the reference lab: checks fail, the solution is run, checks pass.

Two short ones here and in CI; `make test-lessons` plays them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.lessons import catalog

if TYPE_CHECKING:
    from labs import Cli, Inside

SHORT = ("reading-a-lab", "vip-moves")
OTHERS = [name for name in catalog.shipped() if name not in SHORT]


def play(inside: Inside, halab: Cli, name: str) -> None:
    played = halab.json("lesson", "verify", name, "--lab", inside.lab, timeout=1800)
    assert played["ok"], played
    assert all(step["ok"] for step in played["steps"])
    status = inside.status()
    assert status["faults"] == []
    assert len(status["vip_holders"]) == 1


@pytest.mark.parametrize("name", SHORT)
def test_a_short_lesson_can_be_solved(inside: Inside, halab: Cli, name: str) -> None:
    play(inside, halab, name)


@pytest.mark.lessons
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("name", OTHERS)
def test_every_lesson_can_be_solved(inside: Inside, halab: Cli, name: str) -> None:
    play(inside, halab, name)
