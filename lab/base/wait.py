"""Waiting: ask again and again until the answer is yes. A time-out is an error, never a warning."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import LabError, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S = 0.5
"""How often `until` asks, if its caller does not say."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The answer to a question."""

    ok: bool
    detail: str
    """What was seen, for progress lines and time-outs."""


def tried(ask: Callable[[], Observation]) -> Observation:
    """Ask once, and return a LabError as a negative answer.

    While machines come and go, an API may be away for seconds.
    """
    try:
        return ask()
    except LabError as error:
        return Observation(ok=False, detail=error.message.splitlines()[0][:200])


def until(
    what: str,
    ask: Callable[[], Observation],
    *,
    timeout_s: float,
    every_s: float | None = None,
    on_change: Callable[[str], None] = lambda _: None,
    cancelled: threading.Event | None = None,
) -> Observation:
    """Ask every `every_s` seconds until the answer is ok, and return that answer.

    `on_change` is called with what was seen whenever that changes. Raise WaitTimeout, which names
    `what` was awaited, after `timeout_s` seconds, or at once when `cancelled` is set.
    """
    pause_s = EVERY_S if every_s is None else every_s
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
        (cancelled or threading.Event()).wait(pause_s)
