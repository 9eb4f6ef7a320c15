"""Reports of runs: verdicts, figures and a time-line, for one run or for two side by side.

A report is a function of the history: `judge` returns the verdicts, `build` puts the report
together, and the rest renders it as text, JSON, JUnit XML, an HTML page or a picture.
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
