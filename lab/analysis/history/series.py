"""A probe's samples as a series: when the service was bad, and when the instrument did not look.

The instrument asks on a fixed schedule and does not wait for answers. So a gap between *questions*
is the instrument's own (a stall: nothing is known about that time), and a gap between *answers* is
what a user of the service felt.
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
"""A longer silence counts as an outage although no question failed, and as a stall if nothing was
asked. On two busy cores the Kubernetes API answers some questions only after 100 to 200 ms; a
longer wait is noticed."""
LASTING = 5
"""So many good answers in a row end an outage: one good answer between bad ones is no recovery."""
FEWEST = 20
"""With fewer samples than this, nothing is said."""


class Point(NamedTuple):
    """One judged sample: asked at `t`, answered or given up at `end` (seconds), good or not.

    It is a plain tuple because a run has half a million of them.
    """

    t: float
    end: float
    good: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in which the service was bad, seconds since the run began."""

    begin: float
    end: float
    seconds: float
    """The best estimate of how long it was bad."""
    open: bool = False
    """It was still bad when the samples ended."""


@dataclass(frozen=True, slots=True)
class Series:
    """All samples of a probe, in the order in which they were asked."""

    name: str
    interval: float
    """Seconds between two questions; 0: no instrument said."""
    timeout: float
    """Seconds after which the instrument gives up a question."""
    samples: tuple[Event, ...]
    asked: tuple[Event, ...]
    """The samples in which the instrument could ask."""
    stalls: tuple[tuple[float, float], ...]
    """(begin, end) of each time in which the instrument did not ask: it stalled, stopped early, or
    could not ask (ok: null)."""

    @property
    def patience(self) -> float:
        """A silence longer than this counts, seconds."""
        return max(PATIENCE_S, LASTING * self.interval)

    @property
    def stalled(self) -> float:
        """For how long the instrument did not ask, seconds."""
        return sum(end - begin for begin, end in self.stalls)

    def too_little(self) -> str:
        """Return why nothing can be said of any moment of this probe; empty if something can."""
        if not self.interval:
            return f"{self.name}: no instrument says at which interval it sampled"
        if len(self.asked) < FEWEST:
            return f"{self.name}: {len(self.asked)} samples are too few (at least {FEWEST})"
        return ""

    def trouble(self) -> str:
        """Return why nothing can be said of this probe's whole time; empty if something can."""
        if too_little := self.too_little():
            return too_little
        if self.stalled * 2 > self.samples[-1].t - self.samples[0].t:
            return (
                f"{self.name}: the instrument did not sample for {self.stalled:.1f} s, "
                "most of the time"
            )
        return ""

    def blind(self) -> str:
        """Return where the instrument did not look; empty if it always did."""
        if not self.stalls:
            return ""
        begin, end = max(self.stalls, key=lambda stall: stall[1] - stall[0])
        return (
            f"{self.name}: the instrument did not sample {len(self.stalls)} times, the longest "
            f"from {begin:.2f} s for {end - begin:.2f} s"
        )

    def points(self, good: Callable[[Event], bool]) -> tuple[Point, ...]:
        """Return the samples that were asked, judged by `good`."""
        return tuple([Point(sample.t, sample.end, good(sample)) for sample in self.asked])

    def worst_case(self, good: Callable[[Event], bool]) -> tuple[Point, ...]:
        """Return the same points, and each stall as a bad one: the worst the samples allow."""
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
    """Return the series by probe: of all probes, or of those with this name or under this prefix.

    `api.vip` means `api.vip.new`, too. A probe that was meant to sample but never did has an empty
    series.
    """
    instruments = history.instruments()
    sampled = history.sampled()
    last = max((*(history.samples(name)[-1].t for name in sampled), acted(history)), default=0.0)
    names = [name for name in sorted({*instruments, *sampled}) if under(name, prefix)]
    by_probe = {}
    for name in names:
        data = instruments[name].data if name in instruments else {}
        interval, timeout = float(data.get("interval") or 0), float(data.get("timeout") or 0)
        events = history.samples(name)
        asked = tuple([event for event in events if event.data.get("ok") is not None])
        by_probe[name] = Series(
            name,
            interval,
            timeout,
            events,
            asked,
            tuple(_stalls(events, asked, interval, timeout, last)),
        )
    return by_probe


def acted(history: History) -> float:
    """Return when the run last did something (a step, a fault, a healing), seconds.

    Every series should reach until then. The samples alone do not say so: an instrument that died
    leaves all its series equally short.
    """
    return max((event.t for kind in ("step", "fault") for event in history.of(kind)), default=0.0)


def cut(history: History) -> str:
    """Return why the instrument did not end in good order; empty if it did.

    Also empty for an older history, which says nothing about it: there, `acted` must do.
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
    samples: Sequence[Event], asked: Sequence[Event], interval: float, timeout: float, last: float
) -> Iterable[tuple[float, float]]:
    """Yield the gaps in the schedule.

    At the end of a run a question may still be open, so the last gap is allowed its time-out.
    """
    if not samples or not interval:
        return
    patience = max(PATIENCE_S, LASTING * interval)
    before = samples[0].t
    for sample in asked:
        if sample.t - before > patience:
            yield (before, sample.t)
        before = sample.t
    if last - before > patience + timeout:
        yield (before, last)


def bad_spans(points: Sequence[Point], interval: float, lasting: int = LASTING) -> list[Span]:
    """Return the spans of bad answers.

    Each lasts from the last good answer before it to the first lasting good one after it, by the
    times at which answers *came*; `lasting` good answers in a row end it. Good answers come one
    interval apart even without an outage, so one interval is subtracted: the estimate is right
    within one interval either way. A span that begins with the first sample begins when that was
    asked.
    """
    spans: list[Span] = []
    last = None
    index = 0
    while index < len(points):
        point = points[index]
        if point.good:
            # A question that was asked before an outage and answered in the middle of it does not
            # say when the outage began.
            if point.end - point.t <= PATIENCE_S or last is None:
                last = point.end if last is None else max(last, point.end)
            index += 1
            continue
        begin = points[0].t if last is None else last
        back = _recovery(points, index, lasting)
        if back is None:
            end = max(begin, *(each.end for each in points[index:]))
            spans.append(Span(begin, end, max(0.0, end - begin - interval), open=True))
            break
        end = max(begin, min(each.end for each in points[back : back + lasting]))
        spans.append(Span(begin, end, max(0.0, end - begin - interval)))
        last, index = end, back + 1
    return spans


def _recovery(points: Sequence[Point], index: int, lasting: int) -> int | None:
    """Return the index of the first of `lasting` good points in a row, at or after `index`."""
    row = 0
    for position in range(index, len(points)):
        row = row + 1 if points[position].good else 0
        if row == lasting:
            return position - lasting + 1
    return None


def silences(points: Sequence[Point], interval: float, patience: float) -> list[Span]:
    """Return the spans without a good answer although questions were asked.

    In them the service hung for longer than `patience` seconds, and then answered.
    """
    ends = sorted(point.end for point in points if point.good)
    asked = [point.t for point in points]
    return [
        Span(before, after, after - before - interval)
        for before, after in pairwise(ends)
        if after - before > patience and _asked_through(asked, before, after, patience)
    ]


def _asked_through(asked: Sequence[float], begin: float, end: float, patience: float) -> bool:
    """Whether the instrument kept asking: its own silence is no outage."""
    inside = [begin, *asked[bisect_left(asked, begin) : bisect_right(asked, end)], end]
    return all(after - before <= patience for before, after in pairwise(inside))


def merged(spans: Iterable[Span], interval: float) -> tuple[Span, ...]:
    """Return the spans in order, overlapping ones joined into one."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.begin):
        if joined and span.begin < joined[-1].end:
            before = joined.pop()
            end = max(before.end, span.end)
            joined.append(
                Span(
                    before.begin,
                    end,
                    max(0.0, end - before.begin - interval),
                    open=before.open or span.open,
                )
            )
        else:
            joined.append(span)
    return tuple(joined)


def outages(points: Sequence[Point], interval: float, patience: float) -> tuple[Span, ...]:
    """Return the outages of a service: spans of bad answers, and silences."""
    return merged([*bad_spans(points, interval), *silences(points, interval, patience)], interval)
