"""Whose a lab is while tests run, and what becomes of it when they are killed.

A session holds the kernel's lock of each lab that it made (lab/base/locks.py) and has a record of
it in the user's state folder. A process that is killed lets go of the lock by dying: a record
without a holder is a lab to be removed. So no container has to watch over others, as Ryuk does for
testcontainers.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base import locks, names, paths
from lab.base.errors import LabError
from lab.base.wait import Observation, until
from lab.lifecycle import removal
from lab.topology.moving import AUTO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.topology.model import Topology

KIND = "test"
"""The ending of a record, and the kind of its lock."""
WORKER = "PYTEST_XDIST_WORKER"
"""pytest-xdist's name for a worker (`gw0`), in the worker's environment."""
CHOICE_S = 60.0
"""For another session's choice of a name: it asks the engine once."""
SHARED_S = 3600.0
"""For another process's test on a shared lab: a scenario may take many minutes."""
EVERY_S = 0.2
TRIES = 100
_SHARED: dict[str, locks.Lock] = {}
"""Labs that this process uses in turn with others, a test at a time, and whose turn it is now."""


@dataclass(slots=True)
class Claim:
    """A lab's name that this process holds: nobody else makes or removes this lab."""

    name: str
    lock: locks.Lock

    @classmethod
    def take(cls, name: str) -> Claim | None:
        """Return the claim on a name; None where a living process has it."""
        lock = locks.Lock(name, KIND)
        return cls(name, lock) if lock.acquire() else None

    def record(self) -> None:
        """Write down that the lab is a session's."""
        about = {"process": os.getpid()}
        _path(self.name).write_text(json.dumps(about), encoding="utf-8")

    def release(self) -> None:
        """Let go of the name. A lab that is there stays, and is no session's any more."""
        _path(self.name).unlink(missing_ok=True)
        self.lock.forget()
        self.lock.release()


def _path(name: str) -> Path:
    return paths.of_lab(name, KIND)


def _recorded() -> list[str]:
    stems = sorted(path.stem for path in paths.state().glob(f"*.{KIND}"))
    return [name for name in stems if names.is_name(name)]


def base_name(topology: str) -> str:
    """Return the name that a test's lab has if it is free: `test-3m3w`, a worker's with its own."""
    worker = os.environ.get(WORKER, "")
    ending = f"-{worker}" if names.is_name(worker) else ""
    room = names.MAX_NAME - len(f"test-{ending}") - len(f"-{TRIES}")
    return f"test-{topology[:room].strip('-')}{ending}"


def claim(engine: Engine, topology: Topology, name: str = "") -> tuple[Claim, tuple[str, ...]]:
    """Take a free name for a lab, and return it with the overrides that keep it out of others' way.

    The named one, or the first free of `test-3m3w`, `test-3m3w-2`, …. Two processes that choose at
    once do it one after the other. Raises LabError where none is free. A free subnet is chosen by
    `start`, when it makes the network.
    """
    with _choosing():
        held = set(engine.labs())
        chosen = _claim(name, held) if name else _first_free(base_name(topology.name), held)
        try:
            chosen.record()
        except BaseException:
            chosen.release()
            raise
    # A port is bound by the engine when the load balancer starts: any that is free will do.
    return chosen, (f"network.subnet={AUTO}", "loadbalancer.host_port=0")


def _claim(name: str, held: set[str]) -> Claim:
    if name in held:
        hint = "use HalabLab.attach for one that is yours, or take another name"
        raise LabError(f"a lab `{name}` exists already", hint)
    claim = Claim.take(name)
    if claim is None:
        raise LabError(f"another test session has a lab `{name}`", "take another name")
    return claim


def _first_free(base: str, held: set[str]) -> Claim:
    for number in range(1, TRIES):
        name = base if number == 1 else f"{base}-{number}"
        claim = Claim.take(name) if name not in held else None
        if claim:
            return claim
    raise LabError(f"{TRIES} labs are called `{base}`, or so", "`halab list` shows them")


@contextlib.contextmanager
def _choosing() -> Iterator[None]:
    lock = locks.Lock(KIND, "choice")
    _acquire(lock, "another test session has chosen its lab", CHOICE_S)
    try:
        yield
    finally:
        lock.release()


def _acquire(
    lock: locks.Lock, what: str, timeout_s: float, say: Callable[[str], None] = lambda _: None
) -> None:
    """Wait for a lock. `say` hears once that somebody else has it."""
    until(
        what,
        lambda: Observation(ok=lock.acquire(), detail=f"{lock.path} is held"),
        timeout_s=timeout_s,
        every_s=EVERY_S,
        on_change=say,
    )


def remove_abandoned(engine: Engine, reporter: Reporter, *, keep: str = "") -> tuple[str, ...]:
    """Remove the labs of sessions that were killed; return their names.

    `keep` is one that the caller goes on with. What cannot be removed is tried again next time.
    """
    removed = []
    for name in _recorded():
        if name == keep and name in _SHARED:  # this process has its lock already
            _path(name).unlink(missing_ok=True)
            continue
        left = Claim.take(name)
        if left is None:
            continue
        if name != keep:
            try:
                removal.destroy(engine, name, reporter)
            except LabError as error:
                reporter.say(name, f"left by a killed session, not removed: {error.message}")
                left.lock.release()
                continue
            removed.append(name)
        left.release()
    return tuple(removed)


@contextlib.contextmanager
def shared(name: str, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold a lab that several processes share, for a block. Waits; can be nested.

    `say` hears once that another process has the lab.
    """
    if name in _SHARED:
        yield
        return
    lock = locks.Lock(name, KIND)
    waits = f"lab {name} is in use by another test session; waiting for it"
    _acquire(lock, f"lab {name} is free for a test", SHARED_S, lambda _: say(waits))
    _SHARED[name] = lock
    try:
        yield
    finally:
        _SHARED.pop(name).release()


@contextlib.contextmanager
def lent(name: str, claim: Claim | None) -> Iterator[None]:
    """Let other processes use a lab that this one has claimed, or has its turn on, in a block.

    Meanwhile it has no record: a third session would remove a lab that nobody holds.
    """
    lock = claim.lock if claim else _SHARED.get(name)
    if lock is None:
        yield
        return
    if claim:
        _path(name).unlink(missing_ok=True)
    lock.release()
    try:
        yield
    finally:
        _acquire(lock, f"lab {name} is given back", SHARED_S)
        if claim:
            claim.record()
