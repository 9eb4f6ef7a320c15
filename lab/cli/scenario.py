"""scenario: break a lab as written, measure it, judge it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.cli import option_output
from lab.cli.common import (
    bare,
    complete_topology,
    find_lab,
    is_lab,
    load_scenarios,
    load_topology,
    topology_path,
)
from lab.engine import client

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.base.progress import Reporter
    from lab.live.lab import Lab
    from lab.scenarios.run import ScenarioRun


def complete_scenario(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete scenarios that come with halab, and files."""
    from lab.scenarios import catalog

    words = [*catalog.shipped(), *(str(path) for path in Path().glob("*.y*ml"))]
    return [word for word in words if word.startswith(incomplete)]


@click.group("scenario", epilog="Example: halab scenario run 3m3w crash-vip-holder")
def scenario_command() -> None:
    """Break a lab as a scenario says, measure what its users feel, judge it. The lab is whole again in the end, whatever happens."""


@scenario_command.command("list", epilog="Example: halab scenario list")
@option_output
def list_scenarios(output: str) -> None:
    """List the scenarios that come with halab."""
    from lab.cli import output as out
    from lab.scenarios import catalog

    found = [catalog.find(name) for name in catalog.shipped()]
    if output == "json":
        out.answer([_plain(item) for item in found])
    else:
        out.table(["SCENARIO", "WHAT HAPPENS"], [[item.name, item.summary] for item in found])


@scenario_command.command(
    "show", epilog="Example: halab scenario show crash-vip-holder > mine.yaml"
)
@click.argument("scenario", shell_complete=complete_scenario)
@option_output
def show(scenario: str, output: str) -> None:
    """Show a scenario as it is written, to begin one's own with."""
    from lab.cli import output as out
    from lab.scenarios import catalog

    found = catalog.find(scenario)
    if output == "json":
        out.answer(_plain(found))
    else:
        click.echo(Path(found.path).read_text(encoding="utf-8"), nl=False)


def _plain(item: Any) -> dict[str, Any]:  # noqa: ANN401 (a Scenario)
    return {
        "name": item.name,
        "summary": item.summary,
        "steps": [step.describe() for step in item.steps],
        "expect": [expectation.text for expectation in item.expect],
        "path": item.path,
    }


@scenario_command.command(
    "run",
    epilog="Examples: halab scenario run 3m3w crash-vip-holder · halab scenario run lab.yaml mine.yaml --repeats 10",
)
@click.argument("lab", metavar="LAB|FILE", shell_complete=complete_topology)
@click.argument("scenario", shell_complete=complete_scenario)
@click.option(
    "--seed",
    type=int,
    default=None,
    help="Decides every random choice; the report names the one that was used.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 100),
    default=None,
    help="Run it so often; every run has its own folder.",
)
@option_output
def run(lab: str, scenario: str, seed: int | None, repeats: int | None, output: str) -> None:
    """Run SCENARIO on a lab; one that does not run yet is started from its FILE.

    Exit code 0 where all expectations are met, 4 where one is not, 5 where it cannot be said.
    """
    from lab.cli import output as out
    from lab.scenarios import catalog
    from lab.scenarios import run as runs

    held = bare(lab) and is_lab(lab, client.connect())
    own = () if held or topology_path(lab) is None else load_scenarios(lab)
    wanted = catalog.find(scenario, own)
    done: list[ScenarioRun] = []
    with out.Progress(f"{wanted.name} on {lab}") as progress:
        found = _running(lab, progress)
        for number in range(repeats or wanted.repeats):
            chosen = seed if seed is None else seed + number
            done.append(runs.run(found, wanted, chosen, progress, threading.Event()))
            progress.done(wanted.name, f"run {number + 1}: {done[-1].outcome}: {done[-1].folder}")
            if done[-1].error == "interrupted":
                break
    if output == "json":
        out.answer({"runs": [_run(one) for one in done], "figures": runs.summary(done)})
    else:
        _tell(done)
    raise SystemExit(130 if done[-1].error == "interrupted" else runs.exit_code(done))


def _running(word: str, progress: Reporter) -> Lab:
    """Give the lab that a word means, started where it does not run."""
    from lab.lifecycle.start import start
    from lab.live import lab as labs

    connected = client.connect()
    name = word
    if not is_lab(word, connected) and topology_path(word) is not None:
        topology = load_topology(word)
        name = topology.name
        if name not in connected.labs():
            made = labs.Lab(connected, topology, progress)
            start(made)
            return made
    return find_lab(name, progress)


def _run(one: ScenarioRun) -> dict[str, Any]:
    from lab.scenarios import run as runs

    return {
        "folder": str(one.folder),
        "outcome": one.outcome,
        "error": one.error,
        "report": runs.load_json(one.folder),
    }


def _tell(done: list[ScenarioRun]) -> None:
    from lab.analysis import report
    from lab.cli import output as out
    from lab.scenarios import run as runs

    for one in done:
        click.echo(report.text(one.report))
        if one.error:
            click.echo(f"it did not end as written: {one.error}")
        click.echo(f"everything is in {one.folder} (report.html for a browser)")
    if len(done) > 1:
        rows = [
            [row["figure"], f"{row['median']:.3f}", f"{row['worst']:.3f}", str(len(row["runs"]))]
            for row in runs.summary(done)
        ]
        out.table(["FIGURE", "MEDIAN", "WORST", "RUNS"], rows)
