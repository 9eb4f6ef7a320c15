"""The ruler itself: outages of known length are measured within one sampling interval.

What was not seen is never made up.
"""

from __future__ import annotations

import math
from typing import Any

import histories
import pytest
from histories import sample
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.analysis.checkers import outage
from lab.analysis.history import outages
from lab.analysis.history.events import Event, History, history

INTERVALS = st.sampled_from([0.01, 0.02, 0.05, 0.2])


def run(
    gaps: list[tuple[float, float]],
    interval: float,
    length: float,
    took: float = 0.002,
    timeout: float = 0.4,
) -> History:
    """A service that is out in the gaps, asked every interval."""
    rows = [histories.instrument("p", interval, timeout)]
    for step in range(int(length / interval)):
        t = step * interval
        out = any(begin <= t < end for begin, end in gaps)
        rows.append(sample("p", t, not out, timeout if out else took))
    return history(rows)


def only(whole: History) -> outages.Outages:
    return outages.measure(whole)["p"]


@settings(max_examples=200, deadline=None)
@given(
    interval=INTERVALS,
    begin=st.floats(2.0, 3.0),
    length=st.floats(0.3, 4.0),
    took=st.floats(0.0005, 0.15),
)
def test_a_known_gap_is_measured_within_one_interval(
    interval: float, begin: float, length: float, took: float
) -> None:
    row = only(run([(begin, begin + length)], interval, 12.0, took))
    (span,) = row.spans
    assert abs(span.seconds - length) <= interval + 1e-6
    assert span.begin <= begin + took + 1e-6
    assert row.resolution == interval
    assert row.worst[0] == row.longest
    assert not row.open


@settings(max_examples=100, deadline=None)
@given(interval=INTERVALS, lengths=st.lists(st.floats(0.3, 1.0), min_size=1, max_size=4))
def test_several_gaps_are_each_measured(interval: float, lengths: list[float]) -> None:
    gaps, at = [], 2.5
    for length in lengths:
        gaps.append((at, at + length))
        at += length + 2.0
    row = only(run(gaps, interval, at + 1))
    assert [span.seconds for span in row.spans] == pytest.approx(lengths, abs=interval + 1e-6)
    assert row.longest == max(span.seconds for span in row.spans)
    assert row.total == pytest.approx(sum(lengths), abs=len(lengths) * interval + 1e-6)


@settings(max_examples=100, deadline=None)
@given(begin=st.floats(2.0, 3.0), length=st.floats(0.4, 2.0))
def test_a_service_that_hangs_and_then_answers_all_was_out(begin: float, length: float) -> None:
    """No question fails: all that were asked in the gap are answered at its end."""
    rows = [histories.instrument("p", 0.02, 5.0)]
    for step in range(400):
        t = step * 0.02
        rows.append(
            sample(
                "p",
                t,
                ok=True,
                took=(begin + length - t if begin <= t < begin + length else 0) + 0.002,
            )
        )
    (span,) = only(history(rows)).spans
    assert abs(span.seconds - length) <= 0.02 + 1e-6


@settings(max_examples=100, deadline=None)
@given(begin=st.floats(2.0, 3.0), length=st.floats(0.3, 4.0))
def test_a_stalled_sampler_is_no_outage_but_may_hide_one(begin: float, length: float) -> None:
    whole = run([], 0.02, 9.0)
    row = only(
        History(tuple(event for event in whole.events if not begin <= event.t < begin + length))
    )
    assert row.spans == ()
    assert row.worst[0] >= length - 0.02 - 1e-6
    assert "did not sample" in row.blind


def test_one_bad_answer_is_an_outage_of_one_interval() -> None:
    (span,) = only(run([(2.0, 2.01)], 0.02, 5.0)).spans
    assert span.seconds == pytest.approx(0.02)


def test_one_good_answer_among_bad_ones_is_no_recovery() -> None:
    row = only(run([(2.0, 2.5), (2.53, 3.0)], 0.02, 6.0))
    (span,) = row.spans
    assert span.seconds == pytest.approx(1.0, abs=0.02)


def test_an_outage_until_the_end_is_open_and_may_be_longer() -> None:
    row = only(run([(2.0, 9.0)], 0.02, 6.0))
    assert row.open
    assert row.longest == pytest.approx(4.4, abs=0.05)  # until the last question was given up
    assert row.worst[0] == math.inf


def test_never_an_answer_is_an_outage_from_the_first_question_on() -> None:
    row = only(run([(0.0, 99.0)], 0.02, 3.0))
    assert row.open
    assert row.spans[0].begin == 0.0


def test_a_late_answer_to_an_early_question_does_not_move_the_beginning() -> None:
    whole = run([(2.0, 4.0)], 0.02, 8.0)

    def late(event: Event) -> Event:
        mine = event.kind == "probe" and 1.9 < event.t < 1.95
        return Event(event.t, event.kind, {**event.data, "end": event.t + 1.0}) if mine else event

    (span,) = only(History(tuple(late(event) for event in whole.events))).spans
    assert span.seconds == pytest.approx(2.0, abs=0.02)


def figures(whole: History, prefix: str) -> dict[str, Any]:
    return {
        figure.name: figure
        for figure in outage.figures(prefix, outages.measure(whole, prefix).values())
    }


def test_a_prefix_means_the_worst_of_its_probes() -> None:
    by_name = figures(histories.good(), "api.vip")
    assert by_name["outage(api.vip)"].value == pytest.approx(2.0, abs=0.02)
    assert by_name["outage(api.vip)"].resolution == 0.02
    assert by_name["outages(api.vip)"].value == 1
    assert by_name["outage_last(api.vip)"].value == pytest.approx(12.003)
    assert figures(histories.good(), "api.vip.new")["outage(api.vip.new)"].value == pytest.approx(
        1.5, abs=0.02
    )


def test_a_group_with_a_probe_that_saw_too_little_has_no_upper_bound() -> None:
    extended = histories.plus(histories.good(), histories.instrument("api.vip.third"))
    assert figures(extended, "api.vip")["outage(api.vip)"].highest == math.inf


def test_observers_are_no_services() -> None:
    assert set(outages.measure(histories.good())) == set(histories.API)
