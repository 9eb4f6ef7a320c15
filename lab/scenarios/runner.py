"""A trial: a scenario carried out on a lab, measured, judged. Whatever happens, the lab is healed in the end."""

from __future__ import annotations

import random
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from lab import __version__
from lab.addons import manager
from lab.analysis.history.events import Event
from lab.base.errors import HealFailed, LabError
from lab.base.progress import Silent
from lab.base.wait import Observation, tried, until
from lab.chaos.injector import Chaos
from lab.lifecycle import start, stop
from lab.live import status
from lab.live.power import press
from lab.live.steady_state import steady
from lab.nodes.ha.cib_audit import Audit
from lab.scenarios.ceph_steps import CephTrial
from lab.scenarios.precheck import parse_random

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from lab.analysis.history.events import History
    from lab.base.progress import Reporter
    from lab.live.active_faults import Hit
    from lab.live.lab import Lab
    from lab.measure.instruments import Instruments
    from lab.topology.scenario_file import Scenario, Step

STEADY_S = 180.0
"""For a lab to be whole again after the last fault: a master that was shot boots in some 15 s, a node is called Ready at once."""
TARGET_S = 30.0
"""For a target to mean somebody: an election takes two seconds, the VIP's move three."""
BEFORE_S = 60.0
"""For a lab to show itself whole before anything is broken."""


class StepFailed(LabError):
    """A step of a scenario failed; the lab was healed, and what was measured is in the history."""


@dataclass(slots=True)
class Trial:
    """One run of a scenario on a lab that runs. `seed` decides every random choice."""

    lab: Lab
    scenario: Scenario
    instruments: Instruments
    cancelled: threading.Event
    seed: int
    reporter: Reporter = field(default_factory=Silent)
    _dice: random.Random = field(default_factory=random.Random)
    _audit: Audit | None = None
    """Knows how Pacemaker was before anything was broken."""
    _ceph: CephTrial | None = None
    """Knows what was written, from one step to another."""

    def carry_out(self) -> History:
        """Measure, break, heal, measure; gives the history. Raises LabError where a step fails or the lab cannot be healed.

        The history is complete then, too: it lies in the run's folder.
        """
        self._dice = random.Random(self.seed)  # noqa: S311 (a dice, not a secret)
        self._audit = Audit(tuple(self.lab.node(node.name) for node in self.lab.topology.masters))
        until(
            f"lab {self.lab.name} is steady before the scenario",
            self._steady,
            timeout_s=BEFORE_S,
            cancelled=self.cancelled,
        )
        self.instruments.start(self.scenario.probes or None)
        try:
            self._steps()
        finally:
            try:
                self._recover()
            finally:
                history = self.instruments.stop()
        return history

    def _steps(self) -> None:
        self._say("measuring the steady lab")
        self._sleep(self.scenario.settle_ms / 1000)
        for index, step in enumerate(self.scenario.steps, 1):
            if self.cancelled.is_set():
                raise KeyboardInterrupt
            self._step(str(index), step.describe(), lambda step=step: self._do(step))  # type: ignore[misc]

    def _step(self, index: str, text: str, act: Callable[[], str]) -> None:
        self._say(text)
        self._note("step", index=index, text=text, state="begin")
        try:
            detail = act()
        except LabError as error:
            self._note("step", index=index, text=text, state="failed", detail=error.message)
            raise StepFailed(f"step {index} ({text}): {error.message}", error.hint) from error
        self._note("step", index=index, text=text, state="end", detail=detail)

    def _do(self, step: Step) -> str:
        return str(getattr(self, f"_do_{step.verb}")(step) or "")

    def _do_fault(self, step: Step) -> str:
        hits = self._inject(step.value, step.target, step.options)
        if step.hold_ms:
            self._sleep(step.hold_ms / 1000)
            self._heal(hits)
        return ", ".join(hit.node for hit in hits)

    def _inject(self, name: str, word: str, options: dict[str, str]) -> list[Hit]:
        nodes = self._targets(word)
        effects = Chaos(self.lab).inject(name, nodes, options)
        for effect in effects:
            about = {"id": effect.hit.id, "fault": name, "node": effect.hit.node, "word": word}
            self._note("fault", at=effect.fired, action="fire", **about)
            self._note(
                "fault",
                at=effect.fired + effect.seconds,
                action="proof",
                detail=effect.proof,
                **about,
            )
            self._say(f"{name} at {effect.hit.node}: {effect.proof}")
        return [effect.hit for effect in effects]

    def _heal(self, hits: list[Hit]) -> None:
        chaos = Chaos(self.lab)
        for hit in hits:
            self._note("fault", action="heal", id=hit.id, fault=hit.fault, node=hit.node)
        try:
            chaos.heal(hits)
        except LabError as error:
            for hit in hits:
                self._note(
                    "fault",
                    action="failed",
                    id=hit.id,
                    fault=hit.fault,
                    node=hit.node,
                    detail=error.message,
                )
            raise
        for hit in hits:
            self._note("fault", action="healed", id=hit.id, fault=hit.fault, node=hit.node)
        self._say(f"healed {', '.join(f'{hit.fault} at {hit.node}' for hit in hits) or 'nothing'}")
        chaos.rejoin(hits, self._say)

    def _do_heal(self, step: Step) -> None:
        self._heal([hit for hit in Chaos(self.lab).active() if step.value in {"all", hit.fault}])

    def _do_wait(self, step: Step) -> None:
        self._sleep(step.for_ms / 1000)

    def _do_until(self, step: Step) -> str:
        asks: dict[str, Callable[[], Observation]] = {
            "steady": self._steady,
            "ready": self._all_ready,
            "noticed": self._noticed,
            "vip": lambda: self._seen("vip_holders", lambda holders: len(holders) == 1),
            "quorum": lambda: self._seen("etcd_leader", bool),
            "no-quorum": lambda: self._seen("etcd_leader", lambda leader: not leader),
        }
        what = f"lab {self.lab.name}: {step.value}"
        found = until(
            what,
            asks[step.value],
            timeout_s=step.timeout_ms / 1000,
            on_change=self._say,
            cancelled=self.cancelled,
        )
        return found.seen

    def _steady(self) -> Observation:
        """Tell whether the lab is whole, Pacemaker's configuration and resources with it."""
        seen = steady(self.lab)
        return tried(self._audit.observe) if seen.ok and self._audit else seen

    def _seen(self, field_name: str, good: Callable[[Any], bool]) -> Observation:
        value = getattr(status.look(self.lab), field_name)
        return Observation(ok=good(value), seen=f"{field_name}: {value or 'none'}")

    def _all_ready(self) -> Observation:
        rows = [
            row
            for row in status.look(self.lab).nodes
            if row.role != "loadbalancer" and row.state == "running"
        ]
        wrong = [f"{row.name} is {row.kubernetes}" for row in rows if row.kubernetes != "Ready"]
        return Observation(ok=not wrong, seen=", ".join(wrong) or f"{len(rows)} nodes Ready")

    def _noticed(self) -> Observation:
        rows = [
            row
            for row in status.look(self.lab).nodes
            if row.role != "loadbalancer" and row.state != "running"
        ]
        unseen = [row.name for row in rows if row.kubernetes != "NotReady"]
        return Observation(
            ok=not unseen,
            seen=f"still thought to run: {', '.join(unseen)}"
            if unseen
            else f"{len(rows)} nodes NotReady",
        )

    def _do_exec(self, step: Step) -> str:
        names = self._targets(step.target)
        return "\n".join(
            self.lab.node(name).run(step.words, timeout_s=step.timeout_ms / 1000).output.strip()
            for name in names
        )

    def _do_power(self, step: Step) -> str:
        return "; ".join(press(self.lab, name, step.value) for name in self._targets(step.target))

    def _do_start(self, step: Step) -> str:
        if step.value == "all":
            start.start(self.lab, timeout_s=step.timeout_ms / 1000)
        for name in self._targets(step.value) if step.value != "all" else ():
            start.start_node(self.lab, name)
        return "started"

    def _do_stop(self, step: Step) -> str:
        names = self._targets(step.value)
        stop.stop(self.lab, *names)
        return ", ".join(names)

    def _do_addon(self, step: Step) -> str:
        with manager.hand(self.lab) as hand:
            outcome = hand.enable(step.value)
        return f"{outcome.seen} (after {outcome.seconds:.0f} s)"

    def _do_ceph(self, step: Step) -> str:
        self._ceph = self._ceph or CephTrial(self.lab, self.cancelled, self._note)
        return self._ceph.run(step.value, step.timeout_ms / 1000)

    def _do_random(self, step: Step) -> str:
        """Play faults of the list, one after the other, and look after each whether the lab came back."""
        end, number = time.monotonic() + step.for_ms / 1000, 0
        while time.monotonic() < end and not self.cancelled.is_set():
            number += 1
            row = parse_random(self._dice.choice(step.words))
            self._step(f"random {number}", f"{row[0]} at {row[1]}", partial(self._one, row, step))
            self._sleep(step.pause_ms / 1000)
        return f"{number} faults"

    def _one(self, row: tuple[str, str, dict[str, str]], step: Step) -> str:
        hits = self._inject(*row)
        self._sleep(step.hold_ms / 1000)
        self._heal(hits)
        return until(
            "steady after the fault",
            self._steady,
            timeout_s=STEADY_S,
            on_change=self._say,
            cancelled=self.cancelled,
        ).seen

    def _targets(self, word: str) -> tuple[str, ...]:
        """Give the nodes that a word means now; between two leaders or two holders nobody is meant, for a moment. Raises WaitTimeout."""
        seed = self._dice.randrange(2**31)
        found: list[str] = []

        def ask() -> Observation:
            found[:] = Chaos(self.lab).targets(word, seed)
            return Observation(ok=True, seen=", ".join(found))

        until(
            f"target `{word}` means a node",
            lambda: tried(ask),
            timeout_s=TARGET_S,
            cancelled=self.cancelled,
        )
        return tuple(found)

    def _recover(self) -> None:
        """Heal what is on, power on what is off, wait until all is well. Raises HealFailed that says what is not."""

        def act() -> str:
            if hits := list(Chaos(self.lab).active()):
                self._heal(hits)
            if not steady(self.lab).ok:
                start.start(self.lab)
            seen = until(
                "lab is steady again", self._steady, timeout_s=STEADY_S, on_change=self._say
            ).seen
            # Its users are asked for as long as before: that it looks well is not yet that they find it so.
            self.cancelled.wait(self.scenario.settle_ms / 1000)
            return seen

        try:
            self._step("recover", "heal everything, wait until the lab is steady", act)
        except LabError as error:
            hint = f"`halab status {self.lab.name}` shows it, `halab start {self.lab.name}` tries again"
            raise HealFailed(
                f"lab {self.lab.name} did not come back: {error.message}", hint
            ) from error

    def _sleep(self, seconds: float) -> None:
        if self.cancelled.wait(seconds):
            raise KeyboardInterrupt

    def _say(self, text: str) -> None:
        self.reporter.say(self.scenario.name, text)

    def _note(self, kind: str, *, at: float | None = None, **values: Any) -> None:  # noqa: ANN401 (any JSON value)
        self.instruments.note(
            Event((time.monotonic() if at is None else at) - self.instruments.begin, kind, values)
        )


def about(lab: Lab, scenario: Scenario, seed: int) -> dict[str, Any]:
    """Give what a history's first line says of a run."""
    seen = status.look(lab)
    versions = {
        "halab": __version__,
        "kubernetes": next(
            (row.version for row in seen.nodes if row.version != status.UNKNOWN), ""
        ),
    }
    return {
        "lab": lab.name,
        "scenario": scenario.name,
        "summary": scenario.summary,
        "distribution": seen.distribution,
        "release": seen.release,
        "versions": versions,
        "seed": seed,
        "wall": datetime.now(UTC).isoformat(timespec="seconds"),
        "expect": [expectation.text for expectation in scenario.expect],
        "steps": [step.describe() for step in scenario.steps],
        "topology": asdict(lab.topology),
    }


def write_topology(folder: Path, lab: Lab) -> None:
    """Keep the topology beside the history."""
    from lab.topology.model import to_json

    (folder / "topology.json").write_text(to_json(lab.topology) + "\n", encoding="utf-8")
