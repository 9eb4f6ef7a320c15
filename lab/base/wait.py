"""Waiting: ask until it is so, or say what was last seen.

A time-out is an error, never a warning.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import LabError, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Observation:
    """What a question answered: whether it is so, and what was seen, for progress lines and time-outs."""

    ok: bool
    detail: str


def tried(ask: Callable[[], Observation]) -> Observation:
    """Ask once; an error of ours is not yet an answer: while machines come and go, an API may be away for seconds."""
    try:
        return ask()
    except LabError as error:
        return Observation(ok=False, detail=error.message.splitlines()[0][:200])


def until(
    what: str,
    ask: Callable[[], Observation],
    *,
    timeout_s: float,
    every_s: float = 0.5,
    on_change: Callable[[str], None] = lambda _: None,
    cancelled: threading.Event | None = None,
) -> Observation:
    """Ask every `every_s` seconds until the answer is ok; `on_change` hears what was seen whenever it changes.

    Raises WaitTimeout after `timeout_s` seconds on the monotonic clock, or at once when `cancelled` is set.
    """
    begin = time.monotonic()
    last = ""
    while True:
        observation = ask()
        if observation.ok:
            return observation
        if observation.detail != last:
            last = observation.detail
            on_change(last)
        waited = time.monotonic() - begin
        if waited >= timeout_s or (cancelled is not None and cancelled.is_set()):
            raise WaitTimeout(what, waited, last)
        (cancelled or threading.Event()).wait(every_s)
