"""The order of a scenario run: steady, measured, broken, healed. The lab is healed in any case."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lab.base.errors import HealFailed, LabError
from lab.base.wait import until
from lab.lifecycle.start import start
from lab.scenarios import steps

if TYPE_CHECKING:
    from lab.analysis.history.events import History
    from lab.scenarios.context import RunContext
    from lab.topology.scenario_file import Scenario

STEADY_BEFORE_TIMEOUT_S = 60.0
"""For a lab to show itself whole before anything is broken."""


@dataclass(frozen=True, slots=True)
class ScenarioRunner:
    """Runs a scenario once, on a lab that is up."""

    context: RunContext
    scenario: Scenario

    def run(self) -> History:
        """Measure, break, heal, measure; return the history.

        Raises LabError where a step fails or the lab cannot be healed. The history is complete even
        then: it lies in the run's folder.
        """
        run = self.context
        until(
            f"lab {run.lab.name} is steady before the scenario",
            run.steady,
            timeout_s=STEADY_BEFORE_TIMEOUT_S,
            cancelled=run.cancelled,
        )
        run.instruments.start(self.scenario.probes or None)
        try:
            self._carry_out_steps()
        finally:
            try:
                self._recover()
            finally:
                history = run.instruments.stop()
        return history

    def _carry_out_steps(self) -> None:
        run = self.context
        run.say("measuring the steady lab")
        run.sleep(self.scenario.settle_ms / 1000)
        for index, step in enumerate(self.scenario.steps, 1):
            if run.cancelled.is_set():
                raise KeyboardInterrupt
            run.step(str(index), step.describe(), partial(steps.carry_out, run, step))

    def _recover(self) -> None:
        """Heal active faults, power on what is off, wait until the lab is steady.

        Raises HealFailed that says what is wrong.
        """
        run, name = self.context, self.context.lab.name
        try:
            run.step("recover", "heal everything, wait until the lab is steady", self._mend)
        except LabError as error:
            raise HealFailed(
                f"lab {name} did not come back: {error.message}",
                f"`halab status {name}` shows it, `halab start {name}` tries again",
            ) from error

    def _mend(self) -> str:
        run = self.context
        if active := list(run.faults.active()):
            run.heal(active)
        if not run.observe_lab(run.lab).ok:
            start(run.lab)
        seen = until(
            "lab is steady again", run.steady, timeout_s=run.steady_timeout_s, on_change=run.say
        ).detail
        # Probes go on for as long as before the first step: a lab that looks whole need not yet
        # serve its users.
        run.cancelled.wait(self.scenario.settle_ms / 1000)
        return seen
