"""A scenario run from check to report: precheck, measure, run, judge, write."""

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
from lab.measure.instruments import Instruments
from lab.scenarios import precheck
from lab.scenarios.context import RunContext, StepFailed
from lab.scenarios.runner import ScenarioRunner
from lab.topology.model import to_json

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
ENOUGH_CORES = 4
"""An idle 3m3w lab wants half a core, its probes one, and what a fault sets off the rest."""


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


def pace_of(lab: Lab) -> float:
    """Return the factor by which probes slow down on small machines.

    At full speed (every 20 ms) all probes together cost a lab one core.
    """
    return 1.0 if int(lab.engine.info().get("NCPU") or 0) >= ENOUGH_CORES else 2.0


def run(
    lab: Lab,
    scenario: Scenario,
    seed: int | None,
    reporter: Reporter,
    cancelled: threading.Event,
) -> ScenarioRun:
    """Run a scenario once and judge it.

    Raises LabError where nothing could be measured, or another run goes on in the lab, HealFailed
    where the lab is left broken.
    """
    precheck.check(scenario, lab)
    with locks.alone(lab.name, f"scenario {scenario.name}"):
        return _run(lab, scenario, _seed(seed, scenario), reporter, cancelled)


def _seed(given: int | None, scenario: Scenario) -> int:
    for seed in (given, scenario.seed):
        if seed is not None:
            return seed
    return random.randrange(SEEDS)  # noqa: S311 (a dice)


def _run(
    lab: Lab, scenario: Scenario, seed: int, reporter: Reporter, cancelled: threading.Event
) -> ScenarioRun:
    folder = run_folders.new(lab.name, scenario.name)
    (folder / "topology.json").write_text(to_json(lab.topology) + "\n", encoding="utf-8")
    pace = pace_of(lab)
    if pace > 1:
        reporter.say(
            "probes",
            f"few processors: asked {pace:.0f} times more seldom, "
            "so that the lab does not feel its own measurement",
        )
    instruments = Instruments(lab, folder, reporter, pace)
    instruments.note(Event(0.0, "run", about(lab, scenario, seed)))
    context = RunContext.create(lab, scenario.name, instruments, cancelled, seed, reporter)
    error = ""
    try:
        ScenarioRunner(context, scenario).run()
    except (StepFailed, KeyboardInterrupt) as failed:
        # What was measured until then is worth a report.
        error = str(failed) or "interrupted"
    except HealFailed:
        if (folder / run_folders.HISTORY).exists():
            judge(folder)
        raise
    return ScenarioRun(folder, judge(folder), error)


def about(lab: Lab, scenario: Scenario, seed: int) -> dict[str, Any]:
    """Return what a history's first line says of a run."""
    seen = status.look(lab)
    kubernetes = [row.version for row in seen.nodes if row.version != status.UNKNOWN]
    return {
        "lab": lab.name,
        "scenario": scenario.name,
        "summary": scenario.summary,
        "distribution": seen.distribution,
        "release": seen.release,
        "versions": {"halab": __version__, "kubernetes": next(iter(kubernetes), "")},
        "seed": seed,
        "wall": datetime.now(UTC).isoformat(timespec="seconds"),
        "expect": [expectation.text for expectation in scenario.expect],
        "steps": [step.describe() for step in scenario.steps],
        "topology": asdict(lab.topology),
    }


def judge(folder: Path) -> Report:
    """Judge a run from its history alone, and write its report into its folder.

    Raises InputError where there is no history.
    """
    found = events.read(folder / run_folders.HISTORY)
    return write(folder, found)


def write(folder: Path, found: History) -> Report:
    """Write a history's report in every form."""
    built = report.build(
        found, (*report.judge(found, found.run.get("expect", ())), steps_verdict(found))
    )
    report.write(folder, built)
    return built


def steps_verdict(found: History) -> Verdict:
    """Judge whether the run went as written.

    A step that failed is a fail; a fault that could not act, or an end in the middle, is unknown.
    """
    steps = found.of("step")
    ended = {event.get("index") for event in steps if event.get("state") in {"end", "failed"}}
    bad: list[str] = []
    unsure = [
        f"step {event.get('index')} ({event.get('text')}) did not end"
        for event in steps
        if event.get("index") not in ended
    ]
    for event in steps:
        if event.get("state") == "failed":
            said = f"step {event.get('index')} ({event.get('text')}): {event.get('detail')}"
            could_not_act = str(event.get("text")).startswith("fault ")
            (unsure if could_not_act else bad).append(said)
    seen = [f"{len(ended)} steps"] if ended else []
    return verdicts.verdict("every step was carried out", bad, unsure, seen)


def summary(runs: Iterable[ScenarioRun]) -> list[dict[str, Any]]:
    """Return the figures of several runs: median and worst of each, in seconds or counts."""
    values: dict[str, list[float]] = {}
    for one in runs:
        for row in one.report.rows:
            for figure in row.figures:
                if figure.value is not None:
                    values.setdefault(figure.name, []).append(figure.value)
    return [
        {"figure": name, "median": statistics.median(seen), "worst": max(seen), "runs": seen}
        for name, seen in values.items()
    ]


def exit_code(runs: Iterable[ScenarioRun]) -> int:
    """Return the exit code of a command: that of the worst run; of no run, unknown."""
    outcomes = [one.outcome for one in runs]
    worst: Outcome = "pass" if outcomes else "unknown"
    if "unknown" in outcomes:
        worst = "unknown"
    if "fail" in outcomes:
        worst = "fail"
    return verdicts.EXIT_CODES[worst]


def load_json(folder: Path) -> dict[str, Any]:
    """Return a run's report as it was written. Raises LabError where it was never judged."""
    try:
        return dict(json.loads((folder / "report.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise LabError(
            f"{folder} has no report: {error}", f"`halab report {folder.name}` judges its history"
        ) from error
