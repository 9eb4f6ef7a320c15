"""Render a report, or two side by side: as text, JSON, JUnit XML, an HTML page or a picture.

Each function returns the whole content of a file. Only `write` writes any.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from lab.analysis.format import seconds
from lab.analysis.report import svg, wording
from lab.analysis.report.build import figure_text, more
from lab.analysis.report.model import STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lab.analysis.report.compare import Comparison
    from lab.analysis.report.model import OutageRow, Report, VerdictRow

SCHEMA = 1
"""The JSON report's version; it is raised when a key changes its meaning."""
JSON_KEYS = {"fault_groups": "blows"}
"""Fields that keep an older name as their key in the JSON report, because others read it."""


def _plain(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """Return a value as JSON can hold it: there is no infinity, so that becomes `infinite`."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return "infinite" if math.isinf(value) else round(value, 6)
    return value


def json_text(report: Report) -> str:
    """Return the report as JSON: all its values, times in seconds or the word `infinite`."""
    values = {JSON_KEYS.get(key, key): value for key, value in asdict(report).items()}
    return json.dumps({"schema": SCHEMA, **_plain(values)}, indent=1, default=str) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as text, its columns as wide as needed."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def time_cell(value: float | None) -> str:
    """Return a time in seconds as the text of a cell; a dash if there is none."""
    return "-" if value is None else seconds(value)


def _verdict_lines(rows: Iterable[VerdictRow]) -> list[str]:
    lines = []
    for row in rows:
        lines.append(
            f"  {wording.OUTCOMES[row.outcome]:8} {row.name}   {figure_text(row)}".rstrip()
        )
        lines += [f"           {reason}" for reason in more(row)]
    return lines


def outage_cells(row: OutageRow) -> tuple[str, ...]:
    """Return a probe's row in the table of outages; OUTAGE_HEAD names the cells."""
    count = "-" if row.count is None else str(row.count)
    times = ("-" if row.count == 0 else time_cell(value) for value in (row.longest, row.total))
    ends = ("-" if value is None else f"{value:.2f} s" for value in (row.first, row.last))
    return (row.probe, count, *times, *ends, f"± {seconds(row.interval)}", row.note)


OUTAGE_HEAD = (
    "probe",
    "outages",
    "longest",
    "in all",
    "first began",
    "last ended",
    "resolution",
    "",
)


def text(report: Report) -> str:
    """Return the report as text for a terminal."""
    parts = [
        f"{wording.OUTCOMES[report.outcome]}: {report.title}",
        report.sentence,
        "",
        *(f"  {name}: {value}" for name, value in report.about),
    ]
    parts += ["", "What was done", *(f"  {t:9.2f} s  {what}" for t, what in report.done)]
    parts += ["", "Expectations", *_verdict_lines(report.rows)]
    if report.outages:
        parts += [
            "",
            "Outages of each probe",
            table(OUTAGE_HEAD, map(outage_cells, report.outages)),
        ]
        parts += [f"  {note}" for note in wording.outage_notes(report.outages)]
    for group in report.fault_groups:
        parts += ["", f"After {svg.named(group)} at {group.t:.2f} s"]
        parts += [
            f"  {seconds(each.seconds):>9}  ± {seconds(each.resolution):<7} "
            f"{each.name:11} {each.detail}"
            for each in by_time(group.phases)
        ]
        if group.missing:
            parts.append(f"  not seen: {', '.join(group.missing)}")
    if report.checked:
        parts += ["", "Also checked (not counted)", *_verdict_lines(report.checked)]
    parts += ["", "Again", *(f"  {line}" for line in report.again)]
    return "\n".join(parts) + "\n"


def by_time(phases: Iterable[Any]) -> list[Any]:
    """Return phases (of a group, or of a whole run) in the order in which they ended."""
    return sorted(phases, key=lambda phase: phase.seconds)


def junit(report: Report) -> str:
    """Return the verdicts that count as JUnit XML: fail as a failure, unknown as an error."""
    counts = {kind: sum(row.outcome == kind for row in report.rows) for kind in wording.OUTCOMES}
    title = _printable(report.title)
    head = {
        "name": f"halab: {title}",
        "tests": str(len(report.rows)),
        "failures": str(counts["fail"]),
        "errors": str(counts["unknown"]),
    }
    suites = ET.Element("testsuites")
    suite = ET.SubElement(suites, "testsuite", {**head, "time": f"{report.span[1]:.3f}"})
    properties = ET.SubElement(suite, "properties")
    for name, value in report.about:
        ET.SubElement(properties, "property", {"name": name, "value": _printable(value)})
    for row in report.rows:
        case = ET.SubElement(
            suite, "testcase", {"classname": title, "name": _printable(row.name), "time": "0"}
        )
        reasons = _printable("\n".join(row.reasons))
        if row.outcome != "pass":
            kind = "failure" if row.outcome == "fail" else "error"
            first = reasons.split("\n", maxsplit=1)[0]
            ET.SubElement(case, kind, {"message": first}).text = reasons
        ET.SubElement(case, "system-out").text = _printable(
            "\n".join(filter(None, [row.meaning, figure_text(row), reasons]))
        )
    ET.indent(suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"
    )


def _printable(value: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return "".join(
        letter
        for letter in value
        if letter in "\t\n"
        or (letter >= " " and not "\ud800" <= letter <= "\udfff" and letter < "\ufffe")
    )


def _page(name: str, **values: Any) -> str:  # noqa: ANN401 (the template's values)
    import jinja2

    folder = Path(__file__).parent
    loader = jinja2.FileSystemLoader(folder)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        {
            "seconds": seconds,
            "figure": figure_text,
            "more": more,
            "cells": outage_cells,
            "named": svg.named,
        }
    )
    style = (folder / "page.css").read_text(encoding="utf-8")
    return environment.get_template(name).render(
        style=style, wording=wording, states=STATES, svg=svg, outage_head=OUTAGE_HEAD, **values
    )


def html(report: Report) -> str:
    """Return the report as an HTML page that needs no other file, and no script."""
    return _page("report.html.j2", report=report)


def png(report: Report) -> bytes:
    """Return the time-line as a PNG file's content."""
    from lab.analysis.report.picture import draw

    return draw(report)


def comparison_html(comparison: Comparison) -> str:
    """Return two runs side by side as an HTML page that needs no other file."""
    return _page("compare.html.j2", comparison=comparison)


def comparison_json(comparison: Comparison) -> str:
    """Return two runs side by side as JSON: the tables' rows, without the reports themselves."""
    rows = {
        key: [asdict(row) for row in value]
        for key, value in (("about", comparison.about), ("figures", comparison.figures))
    }
    runs = {
        side: {"title": run.title, "outcome": run.outcome, "sentence": run.sentence}
        for side, run in (("a", comparison.a), ("b", comparison.b))
    }
    return json.dumps({"schema": SCHEMA, **runs, **_plain(rows)}, indent=1) + "\n"


def comparison_text(comparison: Comparison) -> str:
    """Return two runs side by side as text for a terminal."""
    head = [
        f"{side}  {wording.OUTCOMES[report.outcome]}: {report.title}"
        for side, report in (("A", comparison.a), ("B", comparison.b))
    ]
    about = "  nothing that the runs say of themselves"
    if comparison.about:
        about = table(("", "A", "B"), [(row.name, row.a, row.b) for row in comparison.about])
    figures = table(
        ("figure", "A", "B", "B against A"),
        [(row.name, row.a, row.b, row.change) for row in comparison.figures],
    )
    return "\n".join([*head, "", "What differs", about, "", "Figures", figures, ""])


FORMATS: dict[str, tuple[str, Callable[[Report], str]]] = {
    "text": ("report.txt", text),
    "json": ("report.json", json_text),
    "junit": ("report.xml", junit),
    "html": ("report.html", html),
}
"""Format of `halab report -o` → the file's name in a run's folder, and the function that renders
it."""
PICTURE = "timeline.png"
"""The picture's name in a run's folder."""
COMPARISONS: dict[str, Callable[[Comparison], str]] = {
    "text": comparison_text,
    "json": comparison_json,
    "html": comparison_html,
}
"""Format of `halab report --compare -o` → the function that renders it."""


def write(folder: Path, report: Report) -> None:
    """Write a report into its run's folder, in each of FORMATS and as a picture."""
    for name, render in FORMATS.values():
        (folder / name).write_text(render(report), encoding="utf-8")
    (folder / PICTURE).write_bytes(png(report))
