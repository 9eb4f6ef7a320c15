"""The rows of the strip chart: which probes they show, their cells and their outages."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from lab.analysis.history.outages import OBSERVERS
from lab.analysis.history.series import PATIENCE_S, Point, under
from lab.watch.outage_tracker import ProbeOutages
from lab.watch.state import FAILED, OK, SLOW, UNSAMPLED, Strip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.analysis.history.events import Event

CELL_S = 0.25
"""The finest cell. A view's cells are whole multiples of it."""
KEPT_S = 600.0
"""Older cells are dropped: nobody's terminal is so wide."""
SLOW_S = PATIENCE_S
"""A good answer that took longer is slow: a person notices it."""
REPORT_AFTER_S = 1.0
"""An outage is put on the tape once it has lasted so long."""
RANK = {UNSAMPLED: 0, OK: 1, SLOW: 2, FAILED: 3}
GROUPS = (
    ("api.vip", "API by VIP"),
    ("api.lb", "API by LB"),
    ("api", "API at "),
    ("write.vip", "write by VIP"),
    ("write.lb", "write by LB"),
    ("service", "Service"),
    ("dns", "DNS"),
)
"""Rows in their order: a probe belongs to the first whose prefix it has. Others stand last."""


@cache
def row_of(probe: str) -> tuple[int, str, str]:
    """Return where a probe is shown: the row's place, its name and its label."""
    for place, (prefix, label) in enumerate(GROUPS):
        if not under(probe, prefix):
            continue
        if prefix == "api":
            node = probe.split(".")[1] if "." in probe else probe
            return place, f"api.{node}", f"{label}{node}"
        return place, prefix, label
    return len(GROUPS), probe, probe


@cache
def is_observer(probe: str) -> bool:
    """Whether a probe's answer is its value: it has no row."""
    return any(under(probe, name) for name in OBSERVERS)


@dataclass(slots=True)
class _Row:
    place: tuple[int, int]
    name: str
    label: str
    cells: dict[int, str] = field(default_factory=dict)
    trackers: dict[str, ProbeOutages] = field(default_factory=dict)
    questions: dict[str, str] = field(default_factory=dict)
    last: float = float("-inf")
    """When its last sample ended."""
    reported: float | None = None
    """When the outage began that is on the tape and not over yet."""

    def tell(self, now: float) -> tuple[float, str, str] | None:
        """Return the outage that has become long, or the end of one that was reported."""
        # As reports have it: answers come one interval apart even without an outage.
        begins = _known(
            None if tracker.begin is None else tracker.begin + tracker.interval
            for tracker in self.trackers.values()
        )
        if self.reported is None and begins and now - min(begins) >= REPORT_AFTER_S:
            self.reported = min(begins)
            return self.reported, "outage", f"{self.label}: no answer"
        if self.reported is None or begins:
            return None
        ended = max(_known(tracker.ended for tracker in self.trackers.values()), default=now)
        text = f"{self.label}: answers again after {max(0.0, ended - self.reported):.1f} s"
        self.reported = None
        return ended, "answer", text

    def mark(self, first: int, last: int, code: str) -> bool:
        """Mark cells; return whether one now shows another thing than the cell before it."""
        turns = False
        for index in range(first, last + 1):
            if RANK[code] > RANK[self.cells.get(index, UNSAMPLED)]:
                self.cells[index] = code
                turns = turns or code != self.cells.get(index - 1, UNSAMPLED)
        return turns

    def forget(self, before: int) -> None:
        if len(self.cells) > 2 * KEPT_S / CELL_S:
            self.cells = {index: code for index, code in self.cells.items() if index >= before}

    def text(self, first: int, count: int, each: int) -> str:
        """Return `count` cells from the fine cell `first`; each has so many fine ones."""
        get = self.cells.get
        fine = "".join([get(at, UNSAMPLED) for at in range(first, first + count * each)])
        if each == 1:
            return fine
        return "".join([_worst(fine[at : at + each]) for at in range(0, len(fine), each)])


@dataclass(slots=True)
class StripChart:
    """All rows, fed with samples."""

    turns: int = 0
    """So many times a row turned: from answers to failures, or back."""
    _rows: dict[str, _Row] = field(default_factory=dict)

    def expect(self, probe: str, interval: float, question: str) -> None:
        """Make the row of a probe that will sample."""
        if not is_observer(probe):
            row = self._row(probe)
            row.trackers[probe].interval = interval
            row.questions[probe] = question

    def feed(self, sample: Event) -> tuple[float, str, str] | None:
        """Take in a sample; return what the tape should tell: time, kind and text.

        Outages shorter than REPORT_AFTER_S are shown by the cells alone.
        """
        probe = str(sample.get("probe"))
        row = self._row(probe)
        good = sample.get("ok")
        if good is None:  # the instrument itself could not ask
            return None
        tracker = row.trackers[probe]
        tracker.feed(Point(sample.t, sample.end, good is True))
        row.last = max(row.last, sample.end)
        code = _code(sample)
        first = int(sample.t // CELL_S)
        last = max(first, int((sample.t + tracker.interval - 1e-9) // CELL_S))
        self.turns += row.mark(first, last, code)
        row.forget(first - int(KEPT_S / CELL_S))
        return row.tell(sample.end)

    def lose(self, node: str) -> None:
        """Forget the outages that run now of probes on a node that has stopped.

        Nobody samples there any more: nothing is known of that time.
        """
        for row in self._rows.values():
            for probe, tracker in row.trackers.items():
                _, inside, place = probe.partition(".node.")
                if inside and place == node:
                    row.trackers[probe] = ProbeOutages(tracker.interval, tracker.longest)
            if not any(tracker.begin is not None for tracker in row.trackers.values()):
                row.reported = None

    def _row(self, probe: str) -> _Row:
        place, name, label = row_of(probe)
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = _Row((place, len(self._rows)), name, label)
        if probe not in row.trackers:
            row.trackers[probe] = ProbeOutages()
        return row

    def strips(self, now: float, begin: float, count: int, cell_s: float) -> tuple[Strip, ...]:
        """Return the rows in their order, with `count` cells of `cell_s` seconds from `begin`."""
        first, each = round(begin / CELL_S), max(1, round(cell_s / CELL_S))
        rows = sorted(self._rows.values(), key=lambda row: row.place)
        return tuple(self._strip(row, now, row.text(first, count, each)) for row in rows)

    @staticmethod
    def _strip(row: _Row, now: float, cells: str) -> Strip:
        running = _known(tracker.running(now) for tracker in row.trackers.values())
        longest = [tracker.longest_by(now) for tracker in row.trackers.values()]
        return Strip(
            name=row.name,
            label=row.label,
            cells=cells,
            interval=max((tracker.interval for tracker in row.trackers.values()), default=0.0),
            outage=max(running, default=None),
            longest=max(longest, default=0.0),
            question="; ".join(row.questions.values()),
        )

    def outage(self, name: str, now: float) -> float | None:
        """Return how long a row has been out by all of its probes; None if one of them answers.

        None also if it never sampled, or does not any more.
        """
        row = self._rows.get(name)
        if row is None or not row.trackers:
            return None
        running = [tracker.running(now) for tracker in row.trackers.values()]
        known = _known(running)
        return min(known) if len(known) == len(running) else None

    def label(self, name: str) -> str:
        """Return a row's label, or its name if there is none."""
        return self._rows[name].label if name in self._rows else name

    def last(self, name: str) -> float:
        """Return when a row's last sample ended; minus infinity if it has none."""
        return self._rows[name].last if name in self._rows else float("-inf")


@cache
def _worst(cells: str) -> str:
    return max(cells, key=RANK.__getitem__)


def _code(sample: Event) -> str:
    if sample.get("ok") is not True:
        return FAILED
    return SLOW if sample.end - sample.t > SLOW_S else OK


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
