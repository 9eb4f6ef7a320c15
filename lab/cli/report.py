"""report: tell a run again, judge it anew, put two side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lab.analysis import verdicts
from lab.base.errors import InputError
from lab.cli.verbosity import hint

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def complete_run(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete runs' names."""
    from lab.analysis.history import run_folders

    return [
        name
        for name in ("last", *(run.name for run in run_folders.all_runs()))
        if name.startswith(incomplete)
    ]


@click.command(
    "report",
    epilog="Examples: halab report last · halab report --compare RUN RUN · halab report last -o html > r.html",
)
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--compare", nargs=2, metavar="RUN RUN", help="Two runs side by side.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "junit", "html"]),
    default="text",
    show_default=True,
    help="Form of the answer.",
)
def report_command(run: str | None, compare: tuple[str, str] | None, output: str) -> None:
    """Judge a RUN from its history and show its report; without RUN, list the runs.

    RUN is a folder, a run's name or its beginning, or `last`. The reports in the folder are written anew. Exit code 0, 4 or 5, as for the run.
    """
    from lab.analysis import report
    from lab.analysis.history import run_folders
    from lab.scenarios import run as runs

    if compare:
        if run:
            raise InputError("--compare names both runs", "leave the other one out")
        both = report.compare(*(runs.judge(run_folders.find(word)) for word in compare))
        if output not in report.COMPARISONS:
            raise InputError(f"two runs cannot be told as {output}", "text, json or html")
        click.echo(report.COMPARISONS[output](both), nl=False)
        return
    if run is None:
        _list(output)
        return
    folder = run_folders.find(run)
    built = runs.judge(folder)
    _, render = report.FORMATS[output]
    click.echo(render(built))
    if output == "text":
        click.echo(f"everything is in {folder} (report.html for a browser)")
    raise SystemExit(verdicts.EXIT_CODES[built.outcome])


def _list(output: str) -> None:
    from lab.analysis.history import run_folders
    from lab.cli import output as out

    found = run_folders.all_runs()
    if output == "json":
        out.answer([{"run": path.name, "folder": str(path)} for path in found])
    elif found:
        out.table(["RUN", "FOLDER"], [[path.name, str(path)] for path in found])
    else:
        hint("no runs yet; `halab scenario run 3m3w crash-vip-holder` makes one")
