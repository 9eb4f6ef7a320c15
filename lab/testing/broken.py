"""A lab that a test breaks: faults begin and end with blocks, and their times are recorded."""

from __future__ import annotations

import contextlib
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base.wait import until
from lab.measure.instruments import Instruments
from lab.scenarios.context import RunContext
from lab.scenarios.run import SEEDS
from lab.scenarios.runner import STEADY_BEFORE_TIMEOUT_S, make_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.analysis.history.events import Event
    from lab.base.progress import Reporter
    from lab.live.active_faults import ActiveFault
    from lab.live.lab import Lab


class Unmeasured(Instruments):
    """The instruments of a run in which nothing is measured: they record nothing."""

    def note(self, event: Event) -> None:
        """Drop an event."""


@dataclass(slots=True)
class Broken:
    """A fault that is on. `nodes` are those that its target meant."""

    run: RunContext
    active: list[ActiveFault]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes that were hit."""
        return tuple(one.node for one in self.active)

    def heal(self) -> None:
        """Heal it before the block ends. The lab is not waited for."""
        active, self.active = self.active, []
        if active:
            self.run.heal(active)


@dataclass(slots=True)
class Faults:
    """Breaks a lab and makes it whole again, within a measurement or without one."""

    lab: Lab
    reporter: Reporter
    _open: list[Broken] = field(default_factory=list)
    _run: RunContext | None = None

    @property
    def nodes(self) -> frozenset[str]:
        """Nodes that an open fault has hit."""
        return frozenset(name for broken in self._open for name in broken.nodes)

    @property
    def run(self) -> RunContext:
        """What steps need: that of the measurement, if there is one."""
        if self._run is None:
            self._run = self.context("test", Unmeasured(self.lab, Path(), self.reporter))
        return self._run

    def context(self, name: str, instruments: Instruments) -> RunContext:
        """Return the context of a run with these instruments."""
        seed = random.randrange(SEEDS)  # noqa: S311 (a dice)
        return RunContext.create(
            self.lab, name, instruments, threading.Event(), seed, self.reporter
        )

    @contextlib.contextmanager
    def measured(self, run: RunContext) -> Iterator[None]:
        """Write faults down in a measurement for a block."""
        before = self.run
        # Pacemaker's configuration from before the first fault stays known.
        run.audit = before.audit
        self._run = run
        try:
            yield
        finally:
            self._run = before

    def targets(self, target: str) -> tuple[str, ...]:
        """Return the nodes that a target means now; during an election, wait for its end."""
        return self.run.targets(target)

    @contextlib.contextmanager
    def fault(self, name: str, target: str, options: dict[str, str]) -> Iterator[Broken]:
        """Break for a block. The last fault that ends makes the lab whole."""
        run = self.run
        if not self._open:
            what = f"lab {self.lab.name} is steady before the fault"
            until(what, run.steady, timeout_s=STEADY_BEFORE_TIMEOUT_S, on_change=run.say)
        broken = Broken(run, run.inject(name, target, options))
        self._open.append(broken)
        try:
            yield broken
        finally:
            self._open.remove(broken)
            try:
                broken.heal()
            finally:
                if not self._open:
                    self.make_whole()

    def make_whole(self) -> str:
        """Heal every fault, whoever injected it, and wait until the lab is steady."""
        return make_whole(self.run)
