"""What a run is told as: verdicts, figures, a time-line; as text, JSON, JUnit XML, one HTML page, one picture; and two runs side by side.

All of it is a function of the history: `judge` gives the verdicts, `build` puts the report together, the rest writes it down.
"""

from __future__ import annotations

from lab.analysis.judge import judge
from lab.analysis.report.build import build
from lab.analysis.report.compare import Comparison, compare
from lab.analysis.report.model import Report
from lab.analysis.report.write import (
    COMPARISONS,
    FORMATS,
    PICTURE,
    comparison_html,
    comparison_json,
    comparison_text,
    html,
    json_text,
    junit,
    png,
    text,
    write,
)

__all__ = [
    "COMPARISONS",
    "FORMATS",
    "PICTURE",
    "Comparison",
    "Report",
    "build",
    "compare",
    "comparison_html",
    "comparison_json",
    "comparison_text",
    "html",
    "json_text",
    "judge",
    "junit",
    "png",
    "text",
    "write",
]
