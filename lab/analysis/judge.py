"""Whether a run met what was expected of it."""

from __future__ import annotations

import difflib
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.analysis import checkers
from lab.analysis.checkers import failover, outage
from lab.analysis.format import with_resolution
from lab.analysis.history import outages
from lab.analysis.history.series import cut, under
from lab.analysis.verdicts import Figure, Outcome, Verdict
from lab.topology.expectation import Expectation, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.analysis.history.events import History
    from lab.analysis.history.outages import Outages

_OPPOSITE: dict[Outcome, Outcome] = {"pass": "fail", "fail": "pass", "unknown": "unknown"}


SHOWN_BY_ONE = frozenset({"vip_unique", "one_leader"})
"""Checkers whose fail is one sample. The others' needs the end, or lines that a dying instrument
did not write any more."""


def judge(history: History, expectations: Iterable[Expectation | str]) -> tuple[Verdict, ...]:
    """Return a verdict for each expectation, in their order; where none is given, the verdict of each checker.

    `verdicts.worst` of them is the run's, `verdicts.EXIT_CODES` says how a command ends.
    Raises ExpectationError for a text
    that is none.
    """
    wanted = [parse(each) if isinstance(each, str) else each for each in expectations]
    if not wanted:
        return tuple(_checked(history, name) for name in checkers.names())
    measured = outages.measure(history) if any(each.checker == "outage" for each in wanted) else {}
    names = {each.checker for each in wanted} - {"outage", "failover"}
    known = {name: _checked(history, name) for name in sorted(names)}
    return tuple(_judge(history, each, known, measured) for each in wanted)


def _checked(history: History, name: str) -> Verdict:
    """Ask a checker. Where the instrument died nothing passes; what one sample shows may fail."""
    found, doubt = checkers.find(name).check(history), cut(history)
    if not doubt:
        return found
    figures = tuple(_doubted(figure, doubt) for figure in found.figures)
    if found.outcome == "fail" and name in SHOWN_BY_ONE:
        return replace(found, figures=figures)
    reasons = found.reasons if found.outcome != "pass" else ()
    return Verdict(found.name, "unknown", (doubt, *reasons), figures)


def _doubted(figure: Figure, doubt: str) -> Figure:
    """Take the upper bound off a figure, where there is a doubt whether all was seen."""
    note = "; ".join(filter(None, (doubt, figure.note)))
    return replace(figure, worst=math.inf, note=note) if doubt else figure


def _judge(
    history: History, wanted: Expectation, known: dict[str, Verdict], measured: dict[str, Outages]
) -> Verdict:
    if not wanted.sign:
        found = known[wanted.checker]
        outcome = _OPPOSITE[found.outcome] if wanted.negated else found.outcome
        return Verdict(wanted.text, outcome, found.reasons, found.figures)
    figure = _figure(history, wanted, known, measured)
    if wanted.checker in {"outage", "failover"}:  # the others' were doubted with their verdict
        figure = _doubted(figure, cut(history))
    outcome = decide(wanted, figure)
    more = (
        known[wanted.checker].reasons
        if wanted.checker in known and figure.value is not None
        else ()
    )
    return Verdict(wanted.text, outcome, (*_reasons(figure, outcome), *more), (figure,))


def _figure(
    history: History, wanted: Expectation, known: dict[str, Verdict], measured: dict[str, Outages]
) -> Figure:
    if wanted.checker == "failover":
        return failover.figure(history, wanted.argument)
    if wanted.checker == "outage":
        rows = [row for name, row in measured.items() if under(name, wanted.argument)]
        found = {figure.name: figure for figure in outage.figures(wanted.argument, rows)}
        return (
            found[wanted.figure]
            if rows
            else Figure(wanted.figure, None, note=_nobody(sorted(measured), wanted.argument))
        )
    verdict = known[wanted.checker]
    return next(
        (figure for figure in verdict.figures if figure.name == wanted.figure),
        Figure(wanted.figure, None, note="; ".join(verdict.reasons)),
    )


def _nobody(names: Sequence[str], argument: str) -> str:
    prefixes = sorted(
        {
            ".".join(name.split(".")[:count])
            for name in names
            for count in range(1, len(name.split(".")) + 1)
        }
    )
    close = difflib.get_close_matches(argument, prefixes, n=1)
    proposal = (
        f"; did you mean `{close[0]}`?" if close else f"; this run has {', '.join(names) or 'none'}"
    )
    return f"no probe `{argument}` in this run{proposal}"


def decide(wanted: Expectation, figure: Figure) -> Outcome:
    """Compare.

    A figure that may be larger than it was seen to be passes only if it would pass then, too; its
    resolution is printed, not judged.
    """
    if figure.value is None:
        return "unknown"
    low, high = figure.value, figure.highest
    ends = {wanted.holds(low), wanted.holds(high)}
    # Between its ends a figure may meet `== limit` though neither end does; the other comparisons
    # change once at most.
    inside = low < wanted.limit < high and wanted.sign in {"==", "!="}
    if len(ends) > 1 or inside:
        return "unknown"
    return "pass" if ends == {True} else "fail"


def _reasons(figure: Figure, outcome: Outcome) -> tuple[str, ...]:
    """Say what was measured, and what has to be known of it."""
    if figure.value is None:
        return (f"not measured: {figure.note}" if figure.note else "not measured",)
    doubt = (
        " or more, for it was not seen all the time"
        if outcome == "unknown" and figure.highest > figure.value
        else ""
    )
    return (f"measured: {with_resolution(figure)}{doubt}", *filter(None, [figure.note]))
