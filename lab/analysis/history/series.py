"""A probe's samples as a series with a schedule: what was seen, what was not, and from when to when something was bad.

The instrument asks on a fixed schedule and does not wait for answers. So a hole in the times of *asking* is the instrument's own
(a stall: nothing is known about it), and a hole in the times of *answers* is what the user of the service felt.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lab.analysis.history.events import Event, History

PATIENCE_S = 0.25
"""A silence that long counts although no question failed, and so does the instrument's own. The
Kubernetes API on two busy cores answers some questions only after 100 to 200 ms; who waits longer
notices."""
LASTING = 5
"""So many good answers in a row end an outage: one good answer between bad ones is no recovery."""
FEWEST = 20
"""With fewer samples than this nothing is said."""


class Point(NamedTuple):
    """One sample: asked at `t`, answered (or given up) at `end`, seconds; good or not.

    A tuple: there are half a million of them.
    """

    t: float
    end: float
    good: bool


@dataclass(frozen=True, slots=True)
class Span:
    """From `begin` to `end` it was bad. `seconds` is the best estimate of how long; `open`: it was still bad when the samples ended."""

    begin: float
    end: float
    seconds: float
    open: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """All samples of a probe in the order of asking. `interval` and `timeout` are seconds; interval 0: no instrument said what it is."""

    name: str
    interval: float
    timeout: float
    samples: tuple[Event, ...]
    seen: tuple[Event, ...]
    """The samples in which the instrument could ask."""
    stalls: tuple[tuple[float, float], ...]
    """From when to when the instrument did not ask: sampler stalled, stopped early, or could not
    ask (ok: null)."""

    @property
    def patience(self) -> float:
        """A silence longer than this is an event, seconds."""
        return max(PATIENCE_S, LASTING * self.interval)

    @property
    def stalled(self) -> float:
        """For how long the instrument did not ask, seconds."""
        return sum(end - begin for begin, end in self.stalls)

    def trouble(self) -> str:
        """Say why nothing can be said of this probe; empty where something can."""
        if not self.interval:
            return f"{self.name}: no instrument says at which interval it sampled"
        if len(self.seen) < FEWEST:
            return f"{self.name}: {len(self.seen)} samples are too few (at least {FEWEST})"
        if self.stalled * 2 > self.samples[-1].t - self.samples[0].t:
            return f"{self.name}: the instrument did not sample for {self.stalled:.1f} s, most of the time"
        return ""

    def blind(self) -> str:
        """Say where the instrument did not look; empty where it looked all the time."""
        if not self.stalls:
            return ""
        begin, end = max(self.stalls, key=lambda stall: stall[1] - stall[0])
        return f"{self.name}: the instrument did not sample {len(self.stalls)} times, the longest from {begin:.2f} s for {end - begin:.2f} s"

    def points(self, good: Callable[[Event], bool]) -> tuple[Point, ...]:
        """Judge what was seen."""
        return tuple([Point(sample.t, sample.end, good(sample)) for sample in self.seen])

    def worst_case(self, good: Callable[[Event], bool]) -> tuple[Point, ...]:
        """Judge what was seen, and take all that was not seen as bad: the worst that the samples allow."""
        return tuple(
            sorted(
                (
                    *self.points(good),
                    *(Point(begin, end, good=False) for begin, end in self.stalls),
                ),
                key=lambda point: point.t,
            )
        )


def is_good(sample: Event) -> bool:
    """Whether the service answered, and well."""
    return sample.data.get("ok") is True


def series(history: History, prefix: str = "") -> dict[str, Series]:
    """Return the series of all probes, or of those with this name or under this prefix (`api.vip` means `api.vip.new`, too), by name.

    An instrument without a single sample has an empty series: it was meant to sample and did not.
    """
    instruments = history.instruments()
    sampled = history.sampled()
    last = max((*(history.samples(name)[-1].t for name in sampled), acted(history)), default=0.0)
    names = [name for name in sorted({*instruments, *sampled}) if under(name, prefix)]
    found = {}
    for name in names:
        data = instruments[name].data if name in instruments else {}
        interval, timeout = float(data.get("interval") or 0), float(data.get("timeout") or 0)
        events = history.samples(name)
        seen = tuple([event for event in events if event.data.get("ok") is not None])
        found[name] = Series(
            name,
            interval,
            timeout,
            events,
            seen,
            tuple(_stalls(events, seen, interval, timeout, last)),
        )
    return found


def acted(history: History) -> float:
    """Return when the run last did something: a step, a fault, a healing.

    Until then every series should reach. The samples alone do not say so: an instrument that died
    leaves all its series equally short.
    """
    return max((event.t for kind in ("step", "fault") for event in history.of(kind)), default=0.0)


def cut(history: History) -> str:
    """Say why the instrument did not end in good order; empty where it did.

    Also empty for a history without a word about it: older ones. `acted` is looked at all the same.
    """
    agents = history.of("agent")
    if not agents:
        return ""
    end = next((event for event in agents if event.get("state") == "end"), None)
    if end is None:
        return "the instrument's end is not in the history"
    if end.get("code") != 0:
        return f"the instrument died (exit code {end.get('code')}): what came then was not seen"
    if end.get("told") is not True:
        return "the instrument ended without a word about how it kept its schedule"
    return ""


def under(name: str, prefix: str) -> bool:
    """Whether a probe has this name or stands under this prefix; the empty prefix means all."""
    return not prefix or name == prefix or name.startswith(f"{prefix}.")


def _stalls(
    samples: Sequence[Event], seen: Sequence[Event], interval: float, timeout: float, last: float
) -> Iterable[tuple[float, float]]:
    """Return the holes in the schedule.

    At the end a question may still be open when the run ends: its time-out is allowed for.
    """
    if not samples or not interval:
        return
    patience = max(PATIENCE_S, LASTING * interval)
    before = samples[0].t
    for sample in seen:
        if sample.t - before > patience:
            yield (before, sample.t)
        before = sample.t
    if last - before > patience + timeout:
        yield (before, last)


def bad_spans(points: Sequence[Point], interval: float, lasting: int = LASTING) -> list[Span]:
    """Return from when to when it was bad: from the last good answer before to the first lasting good answer after; when answers *came*.

    `lasting` good answers in a row end it. Good answers normally come one interval apart, so that interval is not counted: the estimate
    is right within one interval to either side. Bad from the first sample on: it begins when that was asked.
    """
    found: list[Span] = []
    last = None
    index = 0
    while index < len(points):
        point = points[index]
        if point.good:
            # A question that was asked before and answered in the middle of an outage does not say
            # when it began.
            if point.end - point.t <= PATIENCE_S or last is None:
                last = point.end if last is None else max(last, point.end)
            index += 1
            continue
        begin = points[0].t if last is None else last
        back = _recovery(points, index, lasting)
        if back is None:
            end = max(begin, *(each.end for each in points[index:]))
            found.append(Span(begin, end, max(0.0, end - begin - interval), open=True))
            break
        end = max(begin, min(each.end for each in points[back : back + lasting]))
        found.append(Span(begin, end, max(0.0, end - begin - interval)))
        last, index = end, back + 1
    return found


def _recovery(points: Sequence[Point], index: int, lasting: int) -> int | None:
    """Return the first of so many good points in a row, at or after `index`."""
    row = 0
    for position in range(index, len(points)):
        row = row + 1 if points[position].good else 0
        if row == lasting:
            return position - lasting + 1
    return None


def silences(points: Sequence[Point], interval: float, patience: float) -> list[Span]:
    """Return from when to when no good answer came although questions were asked: what hung for longer than `patience` and then answered."""
    ends = sorted(point.end for point in points if point.good)
    asked = [point.t for point in points]
    found = []
    for before, after in pairwise(ends):
        if after - before > patience and _asked_through(asked, before, after, patience):
            found.append(Span(before, after, after - before - interval))
    return found


def _asked_through(asked: Sequence[float], begin: float, end: float, patience: float) -> bool:
    """Whether the instrument asked all through: its own silence is no outage."""
    inside = [begin, *asked[bisect_left(asked, begin) : bisect_right(asked, end)], end]
    return all(after - before <= patience for before, after in pairwise(inside))


def merged(spans: Iterable[Span], interval: float) -> tuple[Span, ...]:
    """Join spans that overlap."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: span.begin):
        if found and span.begin < found[-1].end:
            before = found.pop()
            end = max(before.end, span.end)
            found.append(
                Span(
                    before.begin,
                    end,
                    max(0.0, end - before.begin - interval),
                    open=before.open or span.open,
                )
            )
        else:
            found.append(span)
    return tuple(found)


def outages(points: Sequence[Point], interval: float, patience: float) -> tuple[Span, ...]:
    """Return the outages of a service: spans of bad answers, and silences."""
    return merged([*bad_spans(points, interval), *silences(points, interval, patience)], interval)
