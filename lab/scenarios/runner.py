"""The order of a scenario run: steady, measure, break, heal. The lab is healed in any case."""

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
"""For a lab to be steady before anything is broken."""


def make_whole(run: RunContext) -> str:
    """Heal active faults, power on what is off, wait until the lab is steady; return what was seen.

    Raises LabError.
    """
    if active := list(run.faults.active()):
        run.heal(active)
    if not run.observe_lab(run.lab).ok:
        start(run.lab)
    return until(
        "lab is steady again", run.steady, timeout_s=run.steady_timeout_s, on_change=run.say
    ).detail


@dataclass(frozen=True, slots=True)
class ScenarioRunner:
    """Runs a scenario once, on a lab that is up."""

    context: RunContext
    scenario: Scenario

    def run(self) -> History:
        """Measure, break, heal, measure; return the history.

        Raises LabError if a step fails or the lab cannot be healed. Even then the history in the
        run's folder is complete.
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

        Raises HealFailed.
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
        detail = make_whole(run)
        # Probes go on for as long as before the first step: a lab that looks steady may not yet
        # serve its users.
        run.cancelled.wait(self.scenario.settle_ms / 1000)
        return detail
