"""Expectations against histories: what is met, what is not, and what cannot be known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import histories
import pytest
from histories import changed, without
from judged import WANTED

from lab.analysis import checkers, report
from lab.analysis.judge import decide
from lab.analysis.verdicts import Figure, worst
from lab.topology.expectation import ExpectationError, parse

if TYPE_CHECKING:
    from lab.analysis.history.events import History


def test_each_expectation_is_judged(good: History) -> None:
    verdicts = {verdict.name: verdict for verdict in report.judge(good, WANTED)}
    assert list(verdicts) == WANTED
    odd = {
        "outage(api.lb) <= 300ms": "fail",
        "not vip_unique": "fail",
        "outage(dns.pod) <= 1s": "unknown",
    }
    assert {
        name: verdict.outcome for name, verdict in verdicts.items() if verdict.outcome != "pass"
    } == odd
    assert worst(verdicts.values()) == "fail"
    assert verdicts["outage(api.vip) <= 5s"].figures[0].resolution == histories.INTERVAL
    assert "this run has" in verdicts["outage(dns.pod) <= 1s"].reasons[0]
    assert "did you mean `api.vip`?" in report.judge(good, ["outage(api.vpi) <= 1s"])[0].reasons[0]


def test_not_vip_unique_shows_what_goes_wrong_without_fencing(good: History) -> None:
    two = changed(
        good,
        lambda event: (
            {"value": ["m", "m2"]}
            if event.get("probe") == "vip.arp" and 11.4 < event.t < 12
            else None
        ),
    )
    verdicts = report.judge(two, ["not vip_unique", "vip_overlap > 500ms", "vip_overlap == 0"])
    assert [verdict.outcome for verdict in verdicts] == ["pass", "pass", "fail"]
    assert (
        report.judge(
            without(two, lambda event: event.get("probe") == "vip.arp"), ["not vip_unique"]
        )[0].outcome
        == "unknown"
    )


def test_without_expectations_every_checker_counts(good: History) -> None:
    assert [verdict.name for verdict in report.judge(good, [])] == list(checkers.names())
    with pytest.raises(ExpectationError):
        report.judge(good, ["outtage <= 5s"])


@pytest.mark.parametrize(
    ("text", "value", "worst", "outcome"),
    [
        ("outage(p) <= 5s", 4.0, None, "pass"),
        ("outage(p) <= 5s", 6.0, None, "fail"),
        ("outage(p) <= 5s", 4.0, 4.5, "pass"),
        ("outage(p) <= 5s", 4.0, math.inf, "unknown"),
        ("outage(p) <= 5s", 6.0, math.inf, "fail"),
        ("outage(p) >= 3s", 4.0, math.inf, "pass"),
        ("outage(p) > 5s", 4.0, math.inf, "unknown"),
        ("lost_writes == 0", 0.0, 2.0, "unknown"),
        ("lost_writes == 0", 1.0, 2.0, "fail"),
        ("outages(p) == 2", 1.0, 3.0, "unknown"),
        ("outages(p) != 2", 1.0, 3.0, "unknown"),
        ("outages(p) != 2", 1.0, 1.0, "pass"),
        ("outage(p) <= 5s", None, None, "unknown"),
    ],
)
def test_what_was_not_seen_is_never_a_pass(
    text: str, value: float | None, worst: float | None, outcome: str
) -> None:
    assert decide(parse(text), Figure("x", value, "s", 0.02, worst)) == outcome


def test_an_outage_that_stands_is_unknown_while_it_may_still_be_met(good: History) -> None:
    gone = changed(
        good,
        lambda event: (
            {"ok": False} if event.get("probe") == "api.lb.new" and event.t > 29 else None
        ),
    )
    assert [
        verdict.outcome
        for verdict in report.judge(gone, ["outage(api.lb) <= 5s", "outage(api.lb) <= 500ms"])
    ] == ["unknown", "fail"]


def test_a_stall_that_is_too_short_to_matter_does_not_matter(good: History) -> None:
    stalled = without(
        good,
        lambda event: (
            event.kind == "probe" and event.get("probe") == "api.lb.new" and 3 < event.t < 4
        ),
    )
    verdicts = report.judge(stalled, ["outage(api.lb) <= 5s", "outage(api.lb) <= 500ms"])
    assert [verdict.outcome for verdict in verdicts] == ["pass", "unknown"]
