"""From a word to a run folder: find a scenario, carry it out on a lab, judge it, write its report down."""

from __future__ import annotations

import json
import random
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.analysis import report, verdicts
from lab.analysis.history import events, run_folders
from lab.analysis.history.events import Event
from lab.base import locks, paths
from lab.base.errors import HealFailed, InputError, LabError
from lab.measure.instruments import Instruments
from lab.scenarios import precheck, runner
from lab.scenarios.runner import Trial
from lab.topology import scenario_file

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from lab.analysis.history.events import History
    from lab.analysis.report import Report
    from lab.analysis.verdicts import Outcome, Verdict
    from lab.base.progress import Reporter
    from lab.live.lab import Lab
    from lab.topology.scenario_file import Scenario

SEEDS = 2**31
ENOUGH_CORES = 4
"""An idle 3m3w lab wants half a core, its probes one, and what a fault sets off the rest."""
FILES = {
    "report.txt": report.text,
    "report.json": report.json_text,
    "report.xml": report.junit,
    "report.html": report.html,
}
PICTURE = "timeline.png"


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was judged: its folder and its report. `error` is what ended it early; its history is judged all the same."""

    folder: Path
    report: Report
    error: str = ""

    @property
    def outcome(self) -> Outcome:
        """pass, fail or unknown."""
        return self.report.outcome


def shipped() -> dict[str, Path]:
    """Give the scenarios that come with halab, name → file."""
    return {
        path.stem: path
        for path in sorted((paths.shipped("topologies") / "scenarios").glob("*.yaml"))
    }


def find(word: str, own: Iterable[Scenario] = ()) -> Scenario:
    """Give the scenario that a word means: one of a topology's own, a file, or one that comes with halab. Raises InputError."""
    import difflib

    named = {item.name: item for item in own}
    if word in named:
        return named[word]
    if Path(word).suffix in {".yaml", ".yml"} or "/" in word:
        return scenario_file.load(Path(word))
    known = shipped()
    if word in known:
        return scenario_file.load(known[word])
    close = difflib.get_close_matches(word, [*named, *known], n=1)
    raise InputError(
        f"no scenario `{word}`",
        f"did you mean `{close[0]}`?" if close else "`halab scenario list` shows what there is",
    )


def pace_of(lab: Lab) -> float:
    """Give how much more seldom than every 20 ms is asked: all questions together cost a lab one core, which a small machine does not have."""
    return 1.0 if int(lab.engine.info().get("NCPU") or 0) >= ENOUGH_CORES else 2.0


def run(
    lab: Lab, wanted: Scenario, seed: int | None, reporter: Reporter, cancelled: threading.Event
) -> Run:
    """Carry a scenario out once and judge it.

    Raises LabError where nothing could be measured, or another run goes on in the lab, HealFailed
    where the lab is left broken.
    """
    precheck.check(wanted, lab)
    with locks.alone(lab.name, f"scenario {wanted.name}"):
        return _run(lab, wanted, seed, reporter, cancelled)


def _run(
    lab: Lab, wanted: Scenario, seed: int | None, reporter: Reporter, cancelled: threading.Event
) -> Run:
    seed = next((value for value in (seed, wanted.seed) if value is not None), None)
    seed = random.randrange(SEEDS) if seed is None else seed  # noqa: S311 (a dice)
    folder = run_folders.new(lab.name, wanted.name)
    runner.write_topology(folder, lab)
    pace = pace_of(lab)
    if pace > 1:
        reporter.say(
            "probes",
            f"few processors: asked {pace:.0f} times more seldom, so that the lab does not feel its own measurement",
        )
    instruments = Instruments(lab, folder, reporter, pace)
    instruments.note(Event(0.0, "run", runner.about(lab, wanted, seed)))
    trial = Trial(lab, wanted, instruments, cancelled, seed, reporter)
    error = ""
    try:
        trial.carry_out()
    except (
        runner.StepFailed,
        KeyboardInterrupt,
    ) as failed:  # what was measured until then is worth a report
        error = str(failed) or "interrupted"
    except HealFailed:
        if (folder / run_folders.HISTORY).exists():
            judge(folder)
        raise
    return Run(folder, judge(folder), error)


def judge(folder: Path) -> Report:
    """Judge a run from its history alone, and write its report into its folder. Raises InputError where there is no history."""
    found = events.read(folder / run_folders.HISTORY)
    return write(folder, found)


def write(folder: Path, found: History) -> Report:
    """Write a history's report in every form."""
    built = report.build(
        found, (*report.judge(found, found.run.get("expect", ())), steps_verdict(found))
    )
    for name, render in FILES.items():
        (folder / name).write_text(render(built), encoding="utf-8")
    (folder / PICTURE).write_bytes(report.png(built))
    return built


def steps_verdict(found: History) -> Verdict:
    """Judge whether the run went as written. A step that failed is a fail; a fault that could not act, or an end in the middle, is unknown."""
    steps = found.of("step")
    ended = {event.get("index") for event in steps if event.get("state") in {"end", "failed"}}
    failed = [event for event in steps if event.get("state") == "failed"]
    unsure = [
        f"step {event.get('index')} ({event.get('text')}) did not end"
        for event in steps
        if event.get("index") not in ended
    ]
    told = {
        event.get(
            "index"
        ): f"step {event.get('index')} ({event.get('text')}): {event.get('detail')}"
        for event in failed
    }
    bad = [
        text
        for event in failed
        if not str(event.get("text")).startswith("fault ") and (text := told[event.get("index")])
    ]
    unsure += [text for text in told.values() if text not in bad]
    return verdicts.verdict(
        "every step was carried out", bad, unsure, [f"{len(ended)} steps"] if ended else []
    )


def summary(runs_: Iterable[Run]) -> list[dict[str, Any]]:
    """Give the figures of several runs of a scenario: median and worst of each, in seconds or counts."""
    values: dict[str, list[float]] = {}
    for one in runs_:
        for row in one.report.rows:
            for figure in row.figures:
                if figure.value is not None:
                    values.setdefault(figure.name, []).append(figure.value)
    return [
        {"figure": name, "median": statistics.median(seen), "worst": max(seen), "runs": seen}
        for name, seen in values.items()
    ]


def exit_code(runs_: Iterable[Run]) -> int:
    """Give how a command ends: by the worst of the runs."""
    outcomes = [one.outcome for one in runs_]
    worst: Outcome = (
        "fail"
        if "fail" in outcomes
        else "unknown"
        if "unknown" in outcomes or not outcomes
        else "pass"
    )
    return verdicts.EXIT_CODES[worst]


def load_json(folder: Path) -> dict[str, Any]:
    """Give a run's report as it was written. Raises LabError where it was never judged."""
    try:
        return dict(json.loads((folder / "report.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise LabError(
            f"{folder} has no report: {error}", f"`halab report {folder.name}` judges its history"
        ) from error
