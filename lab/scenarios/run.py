"""A scenario run from start to end: precheck, measure, run, judge, write the report."""

from __future__ import annotations

import json
import random
import statistics
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lab import __version__
from lab.analysis import report, verdicts
from lab.analysis.history import events, run_folders
from lab.analysis.history.events import Event
from lab.base import locks
from lab.base.errors import HealFailed, LabError
from lab.live import status
from lab.live.master_status import UNKNOWN
from lab.measure import pace, user_probes
from lab.measure.instruments import Instruments
from lab.scenarios import precheck
from lab.scenarios.context import RunContext, StepFailed
from lab.scenarios.runner import ScenarioRunner
from lab.topology.model import to_json, without_passwords

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable
    from pathlib import Path

    from lab.analysis.history.events import History
    from lab.analysis.report import Report
    from lab.analysis.verdicts import Outcome, Verdict
    from lab.base.progress import Reporter
    from lab.live.lab import Lab
    from lab.topology.scenario_file import Scenario

SEEDS = 2**31


@dataclass(frozen=True, slots=True)
class ScenarioRun:
    """A scenario run that was judged: its folder and its report.

    `error` is what ended it early; its history is judged all the same.
    """

    folder: Path
    report: Report
    error: str = ""

    @property
    def outcome(self) -> Outcome:
        """pass, fail or unknown."""
        return self.report.outcome


def run(
    lab: Lab,
    scenario: Scenario,
    seed: int | None,
    reporter: Reporter,
    cancelled: threading.Event,
) -> ScenarioRun:
    """Run a scenario once and judge it.

    Raises LabError if nothing could be measured, or another run goes on in the lab; HealFailed if
    the lab is left broken.
    """
    precheck.check(scenario, lab)
    with locks.alone(lab.name, f"scenario {scenario.name}"):
        return _run(lab, scenario, _seed(seed, scenario), reporter, cancelled)


def _seed(chosen: int | None, scenario: Scenario) -> int:
    for seed in (chosen, scenario.seed):
        if seed is not None:
            return seed
    return random.randrange(SEEDS)  # noqa: S311 (a dice)


def _run(
    lab: Lab, scenario: Scenario, seed: int, reporter: Reporter, cancelled: threading.Event
) -> ScenarioRun:
    own = user_probes.of_lab(lab, scenario.user_probes, scenario.user_writes)
    folder = run_folders.new(lab.name, scenario.name)
    shown = to_json(without_passwords(lab.topology))
    (folder / "topology.json").write_text(shown + "\n", encoding="utf-8")
    asking = pace.of(lab)
    if asking.sentence:
        reporter.say("probes", asking.sentence)
    instruments = Instruments(lab, folder, reporter, asking.factor, more=own)
    instruments.note(Event(0.0, "run", about(lab, scenario, seed)))
    context = RunContext.create(lab, scenario.name, instruments, cancelled, seed, reporter)
    error = ""
    try:
        ScenarioRunner(context, scenario).run()
    except (StepFailed, KeyboardInterrupt) as failed:
        # What was measured until then still makes a report.
        error = str(failed) or "interrupted"
    except HealFailed:
        if (folder / run_folders.HISTORY).exists():
            judge(folder)
        raise
    return ScenarioRun(folder, judge(folder), error)


def about(lab: Lab, scenario: Scenario, seed: int) -> dict[str, Any]:
    """Return the first event of a run's history."""
    now = status.look(lab)
    kubernetes = [row.version for row in now.nodes if row.version != UNKNOWN]
    return {
        "lab": lab.name,
        "scenario": scenario.name,
        "summary": scenario.summary,
        "distribution": now.distribution,
        "release": now.release,
        "versions": {"halab": __version__, "kubernetes": next(iter(kubernetes), "")},
        "seed": seed,
        "wall": datetime.now(UTC).isoformat(timespec="seconds"),
        "expect": [expectation.text for expectation in scenario.expect],
        "steps": [step.describe() for step in scenario.steps],
        "probes": {row.name: row.url for row in scenario.user_probes if not row.line},
        "topology": asdict(without_passwords(lab.topology)),
    }


def judge(folder: Path) -> Report:
    """Judge a run by its history alone, and write its report into its folder.

    Raises InputError if there is no history.
    """
    return write(folder, events.read(folder / run_folders.HISTORY))


def write(folder: Path, history: History) -> Report:
    """Write a history's report in every form."""
    judged = report.judge(history, history.run.get("expect", ()))
    built = report.build(history, (*judged, steps_verdict(history)))
    report.write(folder, built)
    return built


def steps_verdict(history: History) -> Verdict:
    """Judge whether all steps were carried out.

    A failed step is a fail; a fault that could not act, or a run that was cut short, is unknown.
    """
    steps = history.of("step")
    ended = {event.get("index") for event in steps if event.get("state") in {"end", "failed"}}
    bad: list[str] = []
    unsure = [
        f"step {event.get('index')} ({event.get('text')}) did not end"
        for event in steps
        if event.get("index") not in ended
    ]
    for event in steps:
        if event.get("state") == "failed":
            failure = f"step {event.get('index')} ({event.get('text')}): {event.get('detail')}"
            could_not_act = str(event.get("text")).startswith("fault ")
            (unsure if could_not_act else bad).append(failure)
    carried_out = [f"{len(ended)} steps"] if ended else []
    return verdicts.verdict("every step was carried out", bad, unsure, carried_out)


def summary(runs: Iterable[ScenarioRun]) -> list[dict[str, Any]]:
    """Return the figures of several runs: median and worst of each, in seconds or counts."""
    values: dict[str, list[float]] = {}
    for one in runs:
        for row in one.report.rows:
            for figure in row.figures:
                if figure.value is not None:
                    values.setdefault(figure.name, []).append(figure.value)
    return [
        {"figure": name, "median": statistics.median(each), "worst": max(each), "runs": each}
        for name, each in values.items()
    ]


def exit_code(runs: Iterable[ScenarioRun]) -> int:
    """Return a command's exit code: that of the worst run; of no run, unknown."""
    return verdicts.EXIT_CODES[verdicts.worst_of(one.outcome for one in runs)]


def load_json(folder: Path) -> dict[str, Any]:
    """Return a run's report as it was written. Raises LabError if it was never judged."""
    try:
        return dict(json.loads((folder / "report.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise LabError(
            f"{folder} has no report: {error}", f"`halab report {folder.name}` judges its history"
        ) from error
