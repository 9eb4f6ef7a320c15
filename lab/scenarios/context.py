"""The context that a scenario run's steps share: lab, faults, history, dice, time-outs."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.analysis.history.events import Event
from lab.base.errors import LabError
from lab.base.progress import Silent
from lab.base.wait import Observation, tried, until
from lab.chaos.healing import Healer
from lab.chaos.injector import Injector
from lab.chaos.lab_faults import LabFaults
from lab.live import steady_state
from lab.nodes.ha.cib_audit import Audit
from lab.scenarios.ceph_steps import CephSteps

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from lab.base.progress import Reporter
    from lab.live.active_faults import ActiveFault
    from lab.live.lab import Lab
    from lab.measure.instruments import Instruments

STEADY_TIMEOUT_S = 180.0
"""For a lab to be steady again after a fault.

A master that was fenced boots in some 15 s, and its node is called Ready at once.
"""
TARGET_TIMEOUT_S = 30.0
"""For a target to mean a node: an election takes two seconds, the VIP's move three."""


class StepFailed(LabError):
    """A step of a scenario failed; the lab was healed, and the history has what was measured."""


@dataclass(slots=True, kw_only=True)
class RunContext:
    """One scenario run: the lab it runs on, and what its steps need."""

    lab: Lab
    name: str
    """The scenario's name, for progress lines."""
    instruments: Instruments
    cancelled: threading.Event
    dice: random.Random
    """Decides every random choice."""
    faults: LabFaults
    injector: Injector
    healer: Healer
    audit: Audit
    """Compares Pacemaker with its configuration from before the first fault."""
    observe_lab: Callable[[Lab], Observation] = steady_state.steady
    reporter: Reporter = field(default_factory=Silent)
    steady_timeout_s: float = STEADY_TIMEOUT_S
    _ceph: CephSteps | None = None

    @classmethod
    def create(
        cls,
        lab: Lab,
        name: str,
        instruments: Instruments,
        cancelled: threading.Event,
        seed: int,
        reporter: Reporter,
    ) -> RunContext:
        """Return the context of a run on a real lab. `seed` decides every random choice."""
        faults = LabFaults(lab)
        return cls(
            lab=lab,
            name=name,
            instruments=instruments,
            cancelled=cancelled,
            dice=random.Random(seed),  # noqa: S311 (a dice, not a secret)
            faults=faults,
            injector=Injector(faults),
            healer=Healer(faults),
            audit=Audit(tuple(lab.node(node.name) for node in lab.topology.masters)),
            reporter=reporter,
        )

    @property
    def ceph(self) -> CephSteps:
        """The steps of Ceph; one remembers what another wrote."""
        if self._ceph is None:
            self._ceph = CephSteps(self.lab, self.cancelled, self.note)
        return self._ceph

    def say(self, text: str) -> None:
        """Report progress."""
        self.reporter.say(self.name, text)

    def note(self, kind: str, *, at: float | None = None, **values: Any) -> None:  # noqa: ANN401 (any JSON value)
        """Add an event to the history, at a time of the monotonic clock, or now."""
        when = time.monotonic() if at is None else at
        self.instruments.note(Event(when - self.instruments.begin, kind, values))

    def sleep(self, seconds: float) -> None:
        """Wait. Raises KeyboardInterrupt if the run is cancelled."""
        if self.cancelled.wait(seconds):
            raise KeyboardInterrupt

    def step(self, index: str, text: str, act: Callable[[], str]) -> None:
        """Carry out a step, and note its begin and end. Raises StepFailed."""
        self.say(text)
        self.note("step", index=index, text=text, state="begin")
        try:
            detail = act()
        except LabError as error:
            self.note("step", index=index, text=text, state="failed", detail=error.message)
            raise StepFailed(f"step {index} ({text}): {error.message}", error.hint) from error
        self.note("step", index=index, text=text, state="end", detail=detail)

    def steady(self) -> Observation:
        """Whether the lab is steady, Pacemaker's configuration and resources included."""
        observation = self.observe_lab(self.lab)
        return tried(self.audit.observe) if observation.ok else observation

    def targets(self, target: str) -> tuple[str, ...]:
        """Return the nodes that a target means now.

        Between two leaders it means none for a moment. Raises WaitTimeout.
        """
        seed = self.dice.randrange(2**31)
        nodes: list[str] = []

        def ask() -> Observation:
            nodes[:] = self.faults.targets(target, seed)
            return Observation(ok=True, detail=", ".join(nodes))

        until(
            f"target `{target}` means a node",
            lambda: tried(ask),
            timeout_s=TARGET_TIMEOUT_S,
            cancelled=self.cancelled,
        )
        return tuple(nodes)

    def inject(self, name: str, target: str, options: dict[str, str]) -> list[ActiveFault]:
        """Inject a fault at a target, and note when it was fired and when it took effect."""
        effects = self.injector.inject(name, self.targets(target), options)
        for effect in effects:
            active = effect.active
            about = {"id": active.id, "fault": name, "node": active.node, "word": target}
            took_effect = effect.fired + effect.seconds
            self.note("fault", at=effect.fired, action="fire", **about)
            self.note("fault", at=took_effect, action="proof", detail=effect.evidence, **about)
            self.say(f"{name} at {active.node}: {effect.evidence}")
        return [effect.active for effect in effects]

    def heal(self, active: list[ActiveFault]) -> None:
        """Heal faults, note it, and wait until the masters are one cluster again."""
        self._note_each(active, action="heal")
        try:
            self.healer.heal(active)
        except LabError as error:
            self._note_each(active, action="failed", detail=error.message)
            raise
        self._note_each(active, action="healed")
        healed = ", ".join(f"{one.fault} at {one.node}" for one in active)
        self.say(f"healed {healed or 'nothing'}")
        self.healer.rejoin(active, self.say)

    def _note_each(self, active: list[ActiveFault], **values: Any) -> None:  # noqa: ANN401 (any JSON value)
        for one in active:
            self.note("fault", **values, id=one.id, fault=one.fault, node=one.node)
