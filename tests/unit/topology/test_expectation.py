"""What scenarios expect: read exactly, refused clearly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis import checkers
from lab.topology import expectation
from lab.topology.expectation import ExpectationError, parse


@pytest.mark.parametrize(
    ("text", "figure", "sign", "limit"),
    [
        ("outage(api.vip) <= 5s", "outage(api.vip)", "<=", 5.0),
        ("outage( api.vip.new )<500ms", "outage(api.vip.new)", "<", 0.5),
        ("outages(api.lb) == 1", "outages(api.lb)", "==", 1.0),
        ("unavailable(dns.pod.w1) <= 2m", "unavailable(dns.pod.w1)", "<=", 120.0),
        ("failover(vip)   <= 3s", "failover(vip)", "<=", 3.0),
        ("lost_writes == 0", "lost_writes", "==", 0.0),
        ("lost_writes(orders) == 0", "lost_writes(orders)", "==", 0.0),
        ("leader_changes <= 3", "leader_changes", "<=", 3.0),
        ("vip_overlap == 0", "vip_overlap", "==", 0.0),
        ("vip_overlap > 0.2s", "vip_overlap", ">", 0.2),
    ],
)
def test_measures(text: str, figure: str, sign: str, limit: float) -> None:
    expected = parse(text)
    assert (expected.figure, expected.sign, expected.limit) == (figure, sign, pytest.approx(limit))
    assert expected.meaning()


@pytest.mark.parametrize("truth", expectation.TRUTHS)
def test_truths(truth: str) -> None:
    assert (parse(truth).name, parse(truth).negated, parse(truth).figure) == (truth, False, "")
    assert parse(f" not  {truth} ").negated
    assert parse(truth).meaning() != parse(f"not {truth}").meaning()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("outtage(api.vip) <= 5s", "no expectation knows `outtage`", "did you mean `outage`?"),
        ("qqqq", "no expectation knows", "known: vip_unique"),
        ("", "is no expectation", "for example"),
        ("outage(api.vip) =< 5s", "no comparison `=<`", "known: <="),
        ("lost_writes = 0", "no comparison `=`", "did you mean `==`?"),
        ("outage(api.vip) <= 5", "has no unit of time", "500ms"),
        ("outage(api.vip) <= 5h", "no unit of time `h`", "500ms"),
        ("outage(api.vip) <= five", "is no number", "outage(api.vip) <= 5s"),
        ("outage <= 5s", "`outage` of what?", "outage(api.vip) <= 5s"),
        ("outage() <= 5s", "`outage` of what?", "api.vip"),
        ("outage(api vip) <= 5s", "is not the name of a probe", "api.vip"),
        ("outage(api.vip)", "is compared with something", "outage(api.vip) <= 5s"),
        ("lost_writes() == 0", "`lost_writes` of what?", "one of the scenario's writes"),
        ("leader_changes(x) == 0", "has no brackets", "leader_changes"),
        ("lost_writes == 0s", "is a whole number", "lost_writes == 0"),
        ("leader_changes <= 1.5", "is a whole number", "leader_changes <= 3"),
        ("vip_unique == 0", "is true or not", "vip_overlap == 0"),
        ("steady()", "is true or not", "not steady"),
        ("not lost_writes == 0", "`not` goes with a truth", "turn the comparison round"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str, hint: str) -> None:
    with pytest.raises(ExpectationError) as caught:
        parse(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except ExpectationError as error:
        assert error.message


def test_every_word_has_its_checker() -> None:
    assert set(expectation.TRUTHS) <= set(checkers.names())
    assert {measure.checker for measure in expectation.MEASURES.values()} <= set(checkers.names())
