"""Probes ask less often where few processors are idle."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lab.base.errors import EngineError
from lab.engine.commands import Result
from lab.measure import pace
from lab.measure.probe import ProbeSpec


class Node:
    """A double of a node on a machine whose processors are idle for a share; None: it is off."""

    def __init__(self, idle: float | None) -> None:
        self.idle = idle

    def run(self, argv: tuple[str, ...], *, timeout_s: float) -> Result:
        assert argv == pace.STAT
        assert timeout_s > 1
        if self.idle is None:
            raise EngineError("the container does not run")
        idle = int(1000 * self.idle)
        # From `user` to `guest_nice`, in the order of proc(5); `user` has what guests use, too.
        before = [100, 0, 50, 4000, 10, 0, 5, 1, 70, 0]
        spent = [(1000 - idle) // 2, 0, 0, idle - 10, 10, 0, 0, (1000 - idle) // 2, 300, 0]
        after = [past + now for past, now in zip(before, spent, strict=True)]
        return Result(0, "".join(f"cpu  {' '.join(map(str, row))}\n" for row in (before, after)))


def lab(processors: int, shares: dict[str, float | None]) -> Any:
    return SimpleNamespace(
        engine=SimpleNamespace(info=lambda: {"NCPU": processors}),
        topology=SimpleNamespace(nodes=[SimpleNamespace(name=name) for name in shares]),
        node=lambda name: Node(shares[name]),
    )


@pytest.mark.parametrize(
    ("processors", "share", "factor", "idle"),
    [
        (16, 0.9, 1.0, "14.4 of 16"),
        (4, 0.8, 1.0, "3.2 of 4"),  # an idle lab on a laptop
        (4, 0.5, 2.0, "2.0 of 4"),
        (2, 0.6, 4.0, "1.2 of 2"),  # an idle lab on two cores
        (16, 0.0, 4.0, "0.0 of 16"),  # a compiler on all of them
    ],
)
def test_the_pace_follows_from_what_is_idle(
    processors: int, share: float, factor: float, idle: str
) -> None:
    found = pace.of(lab(processors, {"m": None, "w1": share}))  # the first node is off
    assert found == pace.Pace(factor, f"{idle} processors are idle")
    said = f"{idle} processors are idle: probes ask {factor:.0f} times less often"
    assert found.sentence.startswith(said) == (factor > 1)
    assert bool(found.sentence) == (factor > 1)


def test_where_no_node_tells_probes_ask_least() -> None:
    assert pace.of(lab(4, {"m": None})).factor == pace.FACTORS[-1]


def test_a_slow_pace_leaves_commands_in_pods_enough_samples() -> None:
    quick = ProbeSpec(name="api", settings={}, interval=0.02)
    command = replace(quick, interval=1.0, slowed_at_most=2.0)
    assert [quick.slowed(pace).interval for pace in (1.0, 4.0)] == [0.02, 0.08]
    assert [command.slowed(pace).interval for pace in (1.0, 4.0)] == [1.0, 2.0]
