"""Build a report from a run's history and its verdicts."""

from __future__ import annotations

import shlex
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from lab.analysis import checkers
from lab.analysis.format import with_resolution
from lab.analysis.history import failover_phases, outage_causes, outages
from lab.analysis.report.lanes import lanes
from lab.analysis.report.model import OutageRow, PhaseRow, Report, VerdictRow
from lab.analysis.verdicts import worst
from lab.topology.expectation import ExpectationError, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.analysis.history.events import Event, History
    from lab.analysis.history.failover_phases import FaultGroup
    from lab.analysis.history.outages import Outages
    from lab.analysis.verdicts import Outcome, Verdict

_NAMED = 3
"""At most so many verdicts are named in the sentence at the top."""


def build(history: History, verdicts: Iterable[Verdict]) -> Report:
    """Return the report of a run. Pure.

    `verdicts` are those that count, from `judge`. The report adds what the other checkers say.
    """
    counted = tuple(verdicts)
    fault_groups = failover_phases.fault_groups(history)
    measured = outages.measure(history)
    causes = outage_causes.causes(history, measured)
    run = history.run
    outcome = worst(counted)
    return Report(
        title=f"{run.get('scenario') or 'a run'} on lab {run.get('lab') or 'without a name'}",
        outcome=outcome,
        sentence=_sentence(outcome, counted),
        about=tuple(_about(history)),
        done=tuple(_done(history)),
        rows=tuple(_row(verdict) for verdict in counted),
        checked=tuple(
            _row(checkers.find(name).check(history))
            for name in checkers.names()
            if name not in {verdict.name for verdict in counted}
        ),
        outages=tuple(
            replace(_outage(history, row), causes=causes.get(name, ()))
            for name, row in measured.items()
        ),
        fault_groups=fault_groups,
        phases=tuple(_phases(fault_groups)),
        lanes=lanes(history, measured),
        span=history.span,
        again=tuple(_again(history)),
    )


def _sentence(outcome: Outcome, verdicts: tuple[Verdict, ...]) -> str:
    if not verdicts:
        return "Nothing was expected of this run, so nothing was judged."
    if outcome == "pass":
        return (
            f"All {len(verdicts)} expectations were met."
            if len(verdicts) > 1
            else "The expectation was met."
        )
    failed = [
        f"{verdict.name} ({verdict.reasons[0] if verdict.reasons else 'no reason'})"
        for verdict in verdicts
        if verdict.outcome == outcome
    ]
    more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    what = "not met" if outcome == "fail" else "not judged: too little was seen"
    named = "; ".join(failed[:_NAMED])
    return f"{len(failed)} of {len(verdicts)} expectations {what}: {named}{more}."


def _row(verdict: Verdict) -> VerdictRow:
    try:
        meaning = parse(verdict.name).meaning()
    except ExpectationError:
        meaning = checkers.find(verdict.name).summary if verdict.name in checkers.names() else ""
    return VerdictRow(verdict.name, meaning, verdict.outcome, verdict.reasons, verdict.figures)


def _about(history: History) -> Iterable[tuple[str, str]]:
    run = history.run
    for key in ("lab", "scenario", "distribution", "seed"):
        if run.get(key) not in {None, ""}:
            yield (key, str(run[key]))
    if run.get("wall"):
        yield ("began", str(run["wall"]))
    yield ("lasted", f"{history.span[1]:.1f} s")
    versions = run.get("versions")
    if isinstance(versions, dict):
        yield ("versions", ", ".join(f"{name} {version}" for name, version in versions.items()))
    yield ("samples", f"{len(history.of('probe'))} of {len(history.instruments())} probes")


def _done(history: History) -> Iterable[tuple[float, str]]:
    for event in history.events:
        if event.kind == "fault":
            yield (event.t, _fault(event))
        elif event.kind == "step" and event.get("state") in {"begin", "failed"}:
            failed = f" failed: {event.get('detail', '')}" if event.get("state") == "failed" else ""
            yield (event.t, f"step {event.get('index')}: {event.get('text', '')}{failed}")


def _fault(event: Event) -> str:
    actions = {
        "fire": "fault fires",
        "proof": "the fault acts",
        "heal": "healing begins",
        "healed": "healed",
        "failed": "failed",
    }
    action = str(event.get("action"))
    target, node = str(event.get("word") or ""), str(event.get("node") or "")
    chosen = f", chosen by {target}" if action == "fire" and target not in {"", node} else ""
    detail = f": {event.get('detail')}" if event.get("detail") else ""
    return f"{actions.get(action, action)}: {event.get('fault')} on {node}{chosen}{detail}"


def _outage(history: History, row: Outages) -> OutageRow:
    instrument = history.instruments().get(row.probe)
    question = str(instrument.get("question") or "") if instrument else ""
    note = row.trouble or "; ".join(
        filter(None, ["still out at the end" if row.open else "", row.blind])
    )
    if row.trouble:
        return OutageRow(row.probe, question, row.resolution, None, None, None, None, None, note)
    first = min((span.begin for span in row.spans), default=None)
    last = max((span.end for span in row.spans), default=None)
    return OutageRow(
        row.probe,
        question,
        row.resolution,
        len(row.spans),
        row.longest,
        row.total,
        first,
        last,
        note,
    )


def _phases(fault_groups: tuple[FaultGroup, ...]) -> Iterable[PhaseRow]:
    for name, meaning in failover_phases.PHASES.items():
        ends = [phase for group in fault_groups for phase in group.phases if phase.name == name]
        if ends:
            times = [phase.seconds for phase in ends]
            yield PhaseRow(
                name,
                meaning,
                len(ends),
                median(times),
                max(times),
                max(phase.resolution for phase in ends),
            )


def _again(history: History) -> Iterable[str]:
    run = history.run
    if run.get("command"):
        yield str(run["command"])
    elif run.get("scenario"):
        seed = f" --seed {run['seed']}" if run.get("seed") is not None else ""
        lab, scenario = (shlex.quote(str(run.get(key))) for key in ("lab", "scenario"))
        probes = [f" --probe {shlex.quote(f'{name}={url}')}" for name, url in _asked(history)]
        yield f"halab scenario run {lab} {scenario}{seed}{''.join(probes)}"
    yield "halab report RUN        # judges the same history again; RUN is this report's folder"


def _asked(history: History) -> Iterable[tuple[str, str]]:
    """Return the probes that the command line named, with their URLs."""
    probes = history.run.get("probes")
    return probes.items() if isinstance(probes, dict) else ()


def more(row: VerdictRow) -> tuple[str, ...]:
    """Return a verdict's reasons, without the one that only repeats the figure beside it."""
    return tuple(
        reason
        for reason in row.reasons
        if reason not in {f"measured: {figure_text(row)}", figure_text(row)}
    )


def figure_text(row: VerdictRow) -> str:
    """Return the figure that a verdict rests on as text; empty if it rests on many or on none.

    The figure's name is part of it unless the verdict's own name says what it is.
    """
    if not row.figures:
        return ""
    figure = row.figures[0]
    if row.name.startswith(figure.name):
        return with_resolution(figure)
    if "(" in figure.name:
        return ""  # one probe of many: the tables have them all
    return f"{figure.name.replace('_', ' ')}: {with_resolution(figure)}"
