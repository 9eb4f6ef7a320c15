from __future__ import annotations

import click

from lab.analysis import report
from lab.cli.report import report_command


def test_report_command_offers_the_formats_of_the_table() -> None:
    (output,) = (each for each in report_command.params if each.name == "output")
    assert isinstance(output.type, click.Choice)
    assert list(output.type.choices) == list(report.FORMATS)
    assert set(report.COMPARISONS) < set(report.FORMATS)
