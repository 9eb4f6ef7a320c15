"""What was measured while a test's block ran: figures that compare, and expectations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from lab.analysis import report
from lab.analysis.checkers import failover, outage
from lab.analysis.history import outages
from lab.analysis.history.series import cut, under
from lab.base.errors import InputError, LabError
from lab.scenarios.run import steps_verdict
from lab.topology import expectation

if TYPE_CHECKING:
    from pathlib import Path

    from lab.analysis.history.events import History
    from lab.analysis.verdicts import Figure, Verdict


FILES = ("report.html", "report.txt", "report.xml", "history.jsonl", "logs/all.log")
"""Files of a run's folder; the last has the journals of all machines, on one clock."""


class ExpectationNotMet(AssertionError):
    """A measurement does not meet an expectation, or cannot say whether it does."""


class Seconds(float):
    """A measured time. `<=` and `<` hold only if they hold for the most that it may have been.

    The instrument does not always see everything: `highest` is the largest value that its samples
    allow, infinite for what was still out at the end.
    """

    highest: float
    resolution: float
    note: str

    def __new__(cls, figure: Figure) -> Self:
        """Take a figure. Raises LabError for one that was not measured."""
        if figure.value is None:
            raise LabError(f"{figure.name} was not measured: {figure.note or 'no samples'}")
        made = super().__new__(cls, figure.value)
        made.highest, made.resolution, made.note = figure.highest, figure.resolution, figure.note
        return made

    def __le__(self, other: float) -> bool:
        """Compare the most that it may have been."""
        return self.highest <= float(other)

    def __lt__(self, other: float) -> bool:
        """Compare the most that it may have been."""
        return self.highest < float(other)

    def __repr__(self) -> str:
        """Return what a failed assertion shows: value, resolution, and what was not seen."""
        more = f", at most {self.highest:.3f}" if self.highest > float(self) else ""
        note = f"; {self.note}" if self.note else ""
        return f"{float(self):.3f} s (±{self.resolution:.3f}{more}{note})"

    __str__ = __repr__


@dataclass(slots=True)
class Measurement:
    """A run: its folder while the block runs, its figures afterwards."""

    folder: Path
    probes: tuple[str, ...] = ()
    """The user's own."""
    problems: tuple[str, ...] = ()
    """What could not be collected or cleaned up."""
    _history: History | None = field(default=None, repr=False)
    _expected: list[str] = field(default_factory=list)

    def finish(self, history: History) -> None:
        """Take the whole history, and write its report."""
        self._history = history
        self._write()

    @property
    def history(self) -> History:
        """All events of the run. Raises LabError while it is going on."""
        if self._history is None:
            hint = "ask after the `with` block: figures are computed from the whole history"
            raise LabError("the measurement is still going on, or did not begin", hint)
        return self._history

    def outage(self, probe: str) -> Seconds:
        """Return the longest outage of a probe, or of the worst of a group (`api.vip`)."""
        return Seconds(self._outage(probe, "outage"))

    def unavailable(self, probe: str) -> Seconds:
        """Return how long a probe was out in all."""
        return Seconds(self._outage(probe, "unavailable"))

    def outages(self, probe: str) -> int:
        """Return how many outages a probe saw."""
        return int(Seconds(self._outage(probe, "outages")))

    def failover(self, what: str) -> Seconds:
        """Return the time from the fault to the end of a phase: vip, leader, write, or a probe."""
        return Seconds(self._whole(failover.figure(self.history, what)))

    def expect(self, text: str) -> Verdict:
        """Judge an expectation, as scenarios have it: `outage(api.vip) <= 5s`, `vip_unique`.

        Raises ExpectationNotMet where it fails and where it cannot be said, InputError for what is
        none.
        """
        try:
            expected = expectation.parse(text)
        except expectation.ExpectationError as error:
            raise InputError(error.message, error.hint) from None
        (verdict,) = report.judge(self.history, [expected])
        self._expected.append(expected.text)
        if verdict.outcome != "pass":
            self._write()
            reasons = "\n  ".join(verdict.reasons)
            raise ExpectationNotMet(f"{verdict.outcome}: {text}\n  {reasons}\n  see {self.folder}")
        return verdict

    def _outage(self, probe: str, kind: str) -> Figure:
        measured = outages.measure(self.history)
        rows = [row for name, row in measured.items() if under(name, probe)]
        if not rows:
            known = ", ".join(measured) or "none"
            raise InputError(f"no probe `{probe}` in this run", f"it has {known}")
        figures = {figure.name: figure for figure in outage.figures(probe, rows)}
        return self._whole(figures[f"{kind}({probe})"])

    def _whole(self, figure: Figure) -> Figure:
        """Refuse a figure of an instrument that died: what came then was not seen."""
        if doubt := cut(self.history):
            raise LabError(f"{figure.name} cannot be said: {doubt}")
        return figure

    def _write(self) -> None:
        verdicts = (*report.judge(self.history, self._expected), steps_verdict(self.history))
        report.write(self.folder, report.build(self.history, verdicts))

    @property
    def files(self) -> tuple[str, ...]:
        """The names of what the folder has for people."""
        return tuple(name for name in FILES if (self.folder / name).exists())
