from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from lab.analysis.history import run_folders
from lab.base import paths
from lab.lessons import past_runs

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0


def run(at: float, lab: str = "3m3w", scenario: str = "crash", report: str = "") -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(at))
    folder = paths.runs() / f"{stamp}-{lab}-{scenario}"
    folder.mkdir(parents=True)
    (folder / run_folders.HISTORY).touch()
    if report:
        (folder / past_runs.REPORT).write_text(report)
    return folder


def test_latest_is_the_newest_run_that_was_judged() -> None:
    run(NOW, report=json.dumps({"outcome": "fail"}))
    newest = run(NOW + 60, report=json.dumps({"outcome": "pass"}))
    run(NOW + 120)  # interrupted: no report
    run(NOW + 180, report="{ torn")
    found = past_runs.latest("3m3w", "crash", NOW)
    assert found is not None
    assert (found.folder, found.outcome) == (newest, "pass")
    assert past_runs.judge(found, ()) == ()


@pytest.mark.parametrize(
    ("lab", "scenario", "since"),
    [("two", "crash", NOW), ("3m3w", "crash-each", NOW), ("3m3w", "crash", NOW + 1)],
)
def test_latest_is_none_of_another_lab_or_scenario_or_an_earlier_time(
    lab: str, scenario: str, since: float
) -> None:
    run(NOW, report="{}")
    assert past_runs.latest(lab, scenario, since) is None
