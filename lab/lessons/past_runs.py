"""The runs of scenarios that a learner made since a lesson began."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.analysis import judge as judging
from lab.analysis.history import events, run_folders

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lab.analysis.verdicts import Verdict
    from lab.topology.expectation import Expectation

REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run that was judged."""

    folder: Path
    report: dict[str, Any]

    @property
    def outcome(self) -> str:
        """pass, fail or unknown."""
        return str(self.report.get("outcome", "unknown"))


def latest(lab: str, scenario: str, since: float) -> PastRun | None:
    """Return the newest run of a scenario in a lab that began after `since` (POSIX) and ended."""
    shape = re.compile(rf"(\d{{8}}-\d{{6}})-{re.escape(lab)}-{re.escape(scenario)}(-\d+)?")
    for folder in reversed(run_folders.all_runs()):
        match = shape.fullmatch(folder.name)
        # A folder's name has whole seconds.
        if match is None or _posix(match[1]) < int(since):
            continue
        with contextlib.suppress(OSError, ValueError):
            return PastRun(folder, json.loads((folder / REPORT).read_text(encoding="utf-8")))
    return None


def _posix(stamp: str) -> float:
    return time.mktime(time.strptime(stamp, "%Y%m%d-%H%M%S"))


def judge(run: PastRun, expect: Iterable[Expectation]) -> tuple[Verdict, ...]:
    """Judge a run's history by expectations; without any, return nothing."""
    expectations = list(expect)
    if not expectations:
        return ()
    return judging.judge(events.read(run.folder / run_folders.HISTORY), expectations)


def figure(run: PastRun, expectation: Expectation) -> Verdict:
    """Return the verdict that has a figure of a run. Raises InputError for no history."""
    (verdict,) = judge(run, [expectation])
    return verdict
