"""Judge a run's history: expectations and checkers in, verdicts out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.analysis import checkers
from lab.analysis.checkers import failover, lost_writes, outage
from lab.analysis.format import with_resolution
from lab.analysis.history import outages
from lab.analysis.history.series import cut, under
from lab.analysis.verdicts import Figure, Outcome, Verdict
from lab.base import suggest
from lab.topology.expectation import Expectation, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.analysis.history.events import History
    from lab.analysis.history.outages import Outages

_OPPOSITE: dict[Outcome, Outcome] = {"pass": "fail", "fail": "pass", "unknown": "unknown"}


SHOWN_BY_ONE = frozenset({"vip_unique", "one_leader"})
"""Checkers that fail by a single sample. The others need the end of the run, or log lines that a
dying instrument may not have written."""


def judge(history: History, expectations: Iterable[Expectation | str]) -> tuple[Verdict, ...]:
    """Return a verdict for each expectation, in their order; without any, one for each checker.

    `verdicts.worst` of them is the run's outcome, `verdicts.EXIT_CODES` has its exit code. Raise
    ExpectationError for a text that is not an expectation.
    """
    parsed = [parse(each) if isinstance(each, str) else each for each in expectations]
    if not parsed:
        each = [checkers.find(name).check(history) for name in checkers.names()]
        return tuple(_with_doubt(history, verdict) for verdict in each)
    measured = outages.measure(history) if any(each.checker == "outage" for each in parsed) else {}
    judged = [each for each in parsed if each.checker not in {"outage", "failover"}]
    known = {_verdict_name(each): _with_doubt(history, _check(history, each)) for each in judged}
    return tuple(_judge(history, each, known, measured) for each in parsed)


def _verdict_name(expectation: Expectation) -> str:
    """Return the verdict that decides an expectation: a checker's, or that on one's own writes."""
    return expectation.figure if expectation.checker == "lost_writes" else expectation.checker


def _check(history: History, expectation: Expectation) -> Verdict:
    if expectation.checker == "lost_writes":
        return lost_writes.of(history, expectation.argument)
    return checkers.find(expectation.checker).check(history)


def _with_doubt(history: History, verdict: Verdict) -> Verdict:
    """Return a checker's verdict, doubted if the instrument died.

    Then nothing passes, and only what a single sample shows can fail.
    """
    doubt = cut(history)
    if not doubt:
        return verdict
    figures = tuple(_doubted(figure, doubt) for figure in verdict.figures)
    if verdict.outcome == "fail" and verdict.name in SHOWN_BY_ONE:
        return replace(verdict, figures=figures)
    reasons = verdict.reasons if verdict.outcome != "pass" else ()
    return Verdict(verdict.name, "unknown", (doubt, *reasons), figures)


def _doubted(figure: Figure, doubt: str) -> Figure:
    """Return a figure without an upper bound if there is a doubt whether everything was seen."""
    note = "; ".join(filter(None, (doubt, figure.note)))
    return replace(figure, worst=math.inf, note=note) if doubt else figure


def _judge(
    history: History,
    expectation: Expectation,
    known: dict[str, Verdict],
    measured: dict[str, Outages],
) -> Verdict:
    if not expectation.sign:
        verdict = known[expectation.checker]
        outcome = _OPPOSITE[verdict.outcome] if expectation.negated else verdict.outcome
        return Verdict(expectation.text, outcome, verdict.reasons, verdict.figures)
    figure = _figure(history, expectation, known, measured)
    if expectation.checker in {"outage", "failover"}:  # the others' were doubted with their verdict
        figure = _doubted(figure, cut(history))
    outcome = decide(expectation, figure)
    more = (
        known[_verdict_name(expectation)].reasons
        if _verdict_name(expectation) in known and figure.value is not None
        else ()
    )
    return Verdict(expectation.text, outcome, (*_reasons(figure, outcome), *more), (figure,))


def _figure(
    history: History,
    expectation: Expectation,
    known: dict[str, Verdict],
    measured: dict[str, Outages],
) -> Figure:
    if expectation.checker == "failover":
        return failover.figure(history, expectation.argument)
    if expectation.checker == "outage":
        rows = [row for name, row in measured.items() if under(name, expectation.argument)]
        if not rows:
            note = _nobody(sorted(measured), expectation.argument)
            return Figure(expectation.figure, None, note=note)
        figures = {figure.name: figure for figure in outage.figures(expectation.argument, rows)}
        return figures[expectation.figure]
    verdict = known[_verdict_name(expectation)]
    return next(
        (figure for figure in verdict.figures if figure.name == expectation.figure),
        Figure(expectation.figure, None, note="; ".join(verdict.reasons)),
    )


def _nobody(names: Sequence[str], argument: str) -> str:
    """Return the note that no probe of the run has this name or prefix, with the nearest one."""
    prefixes = sorted(
        {
            ".".join(name.split(".")[:count])
            for name in names
            for count in range(1, len(name.split(".")) + 1)
        }
    )
    close = suggest.closest(argument, prefixes)
    proposal = (
        f"; did you mean `{close}`?" if close else f"; this run has {', '.join(names) or 'none'}"
    )
    return f"no probe `{argument}` in this run{proposal}"


def decide(expectation: Expectation, figure: Figure) -> Outcome:
    """Return whether a figure meets a comparison.

    A figure that may be larger than what was seen passes only if the largest possible value does,
    too; otherwise it is unknown. The resolution is printed, but not judged.
    """
    if figure.value is None:
        return "unknown"
    low, high = figure.value, figure.highest
    ends = {expectation.holds(low), expectation.holds(high)}
    # A value in between may meet `== limit` although neither end does. The other comparisons
    # change at most once from one end to the other.
    inside = low < expectation.limit < high and expectation.sign in {"==", "!="}
    if len(ends) > 1 or inside:
        return "unknown"
    return "pass" if ends == {True} else "fail"


def _reasons(figure: Figure, outcome: Outcome) -> tuple[str, ...]:
    """Return what was measured, and what may be wrong with it."""
    if figure.value is None:
        return (f"not measured: {figure.note}" if figure.note else "not measured",)
    doubt = (
        " or more, for it was not seen all the time"
        if outcome == "unknown" and figure.highest > figure.value
        else ""
    )
    return (f"measured: {with_resolution(figure)}{doubt}", *filter(None, [figure.note]))
