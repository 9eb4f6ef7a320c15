"""Measures a lab while a test's block runs, as a scenario run does.

A run is a folder with its history and its report.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis.history import run_folders
from lab.analysis.history.events import Event
from lab.base import locks
from lab.measure import pace, user_probes
from lab.measure.instruments import Instruments
from lab.scenarios.run import about
from lab.testing.measurement import Measurement
from lab.topology.model import to_json
from lab.topology.scenario_file import Scenario
from lab.topology.user_probes import UserProbe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.base.progress import Reporter
    from lab.live.lab import Lab
    from lab.scenarios.context import RunContext
    from lab.testing.broken import Faults

SETTLE_S = 2.0
"""Before the block and after it: at 40 ms these are 50 samples, and 20 are needed to say anything
(lab/analysis/history/series.py)."""
BLOCK = "the test's block"


@dataclass(frozen=True, slots=True)
class Measuring:
    """Runs the instruments around a block."""

    lab: Lab
    faults: Faults
    reporter: Reporter

    @contextlib.contextmanager
    def run(
        self,
        urls: Mapping[str, str],
        names: tuple[str, ...] | None,
        kept: list[Measurement],
    ) -> Iterator[Measurement]:
        """Measure for a block; the measurement is `kept` from its beginning on.

        Raises InputError for a URL or probe that is none, LabError where another run goes on.
        """
        asked = [UserProbe(name=name, url=url) for name, url in urls.items()]
        own = user_probes.of_lab(self.lab, asked)
        title = f"test-{'-'.join(urls) or 'lab'}"
        with locks.alone(self.lab.name, title):
            folder = run_folders.new(self.lab.name, title[:60])
            (folder / "topology.json").write_text(to_json(self.lab.topology) + "\n", "utf-8")
            asking = pace.of(self.lab)
            instruments = Instruments(self.lab, folder, self.reporter, asking.factor, more=own)
            summary = "measured by a test"
            scenario = Scenario(name=title, summary=summary, probes=names or ())
            instruments.note(Event(0.0, "run", about(self.lab, scenario, 0)))
            measurement = Measurement(folder, tuple(urls))
            kept.append(measurement)
            instruments.start(names)
            try:
                with self.faults.measured(self.faults.context(title, instruments)):
                    with _noted(self.faults.run):
                        yield measurement
                    time.sleep(SETTLE_S)
            finally:
                history = instruments.stop()
                measurement.problems = instruments.left
                measurement.finish(history)


@contextlib.contextmanager
def _noted(run: RunContext) -> Iterator[None]:
    """Let the steady lab be seen, and note when the block begins and ends, and how."""
    time.sleep(SETTLE_S)
    run.note("step", index="1", text=BLOCK, state="begin")
    try:
        yield
    except BaseException as error:
        detail = f"{type(error).__name__}: {error}"[:300]
        run.note("step", index="1", text=BLOCK, state="failed", detail=detail)
        raise
    run.note("step", index="1", text=BLOCK, state="end")
