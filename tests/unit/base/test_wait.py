from __future__ import annotations

import threading

import pytest

from lab.base.errors import WaitTimeout
from lab.base.wait import Observation, until


def test_waiting_ends_when_it_is_so_and_tells_changes_once() -> None:
    answers = iter(
        [
            Observation(ok=False, detail="a"),
            Observation(ok=False, detail="a"),
            Observation(ok=True, detail="b"),
        ]
    )
    details: list[str] = []
    assert (
        until(
            "x", lambda: next(answers), timeout_s=5, every_s=0.001, on_change=details.append
        ).detail
        == "b"
    )
    assert details == ["a"]


def test_waiting_in_vain_is_an_error_that_says_what_was_seen() -> None:
    with pytest.raises(WaitTimeout, match=r"the node: not after .* last seen: asleep"):
        until(
            "the node",
            lambda: Observation(ok=False, detail="asleep"),
            timeout_s=0.01,
            every_s=0.005,
        )
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(WaitTimeout):
        until("x", lambda: Observation(ok=False, detail=""), timeout_s=60, cancelled=cancelled)
