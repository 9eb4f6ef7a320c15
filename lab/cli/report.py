"""report: show a run, judge it again, compare two runs."""

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
    """Complete the names of runs."""
    from lab.analysis.history import run_folders

    return [
        name
        for name in ("last", *(run.name for run in run_folders.all_runs()))
        if name.startswith(incomplete)
    ]


@click.command(
    "report",
    epilog="Examples: halab report last · halab report --compare RUN RUN"
    " · halab report last -o html > r.html",
)
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--compare", nargs=2, metavar="RUN RUN", help="Compare two runs.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "junit", "html"]),
    default="text",
    show_default=True,
    help="Format of the answer.",
)
def report_command(run: str | None, compare: tuple[str, str] | None, output: str) -> None:
    """Judge RUN from its history and show its report; without RUN, list the runs.

    RUN is a folder, the name of a run or its beginning, or `last`. The reports in its folder are
    written again. The exit code is the verdict's: 0 pass, 4 fail, 5 unknown.
    """
    from lab.analysis import report
    from lab.analysis.history import run_folders
    from lab.scenarios import run as runs

    if compare:
        if run:
            raise InputError("--compare takes both runs", "leave out the other argument")
        both = report.compare(*(runs.judge(run_folders.find(each)) for each in compare))
        if output not in report.COMPARISONS:
            raise InputError(f"a comparison has no format {output}", "use text, json or html")
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

    folders = run_folders.all_runs()
    if output == "json":
        out.answer([{"run": path.name, "folder": str(path)} for path in folders])
    elif folders:
        out.table(["RUN", "FOLDER"], [[path.name, str(path)] for path in folders])
    else:
        hint("no runs yet; `halab scenario run 3m3w crash-vip-holder` makes one")
