"""scenario: break a lab as written, measure it, judge it."""

from __future__ import annotations

import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.cli.main import EXIT_INTERRUPTED
from lab.cli.options import (
    complete_topology,
    find_lab,
    is_bare,
    is_lab,
    load_scenarios,
    load_topology,
    option_output,
    topology_path,
)
from lab.engine import client

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.base.progress import Reporter
    from lab.live.lab import Lab
    from lab.scenarios.run import ScenarioRun
    from lab.topology.scenario_file import Scenario

INTERRUPTED = "interrupted"
"""The error of a run that ^C ended."""


def complete_scenario(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete the scenarios that come with halab, and files."""
    from lab.scenarios import catalog

    names = [*catalog.shipped(), *(str(path) for path in Path().glob("*.y*ml"))]
    return [name for name in names if name.startswith(incomplete)]


@click.group("scenario", epilog="Example: halab scenario run 3m3w crash-vip-holder")
def scenario_command() -> None:
    """Break a lab as a scenario says, measure what its users see, and judge it.

    Whatever happens, the lab is whole again at the end.
    """


@scenario_command.command("list", epilog="Example: halab scenario list")
@option_output
def list_scenarios(output: str) -> None:
    """List the scenarios that come with halab."""
    from lab.cli import output as out
    from lab.scenarios import catalog

    scenarios = [catalog.find(name) for name in catalog.shipped()]
    if output == "json":
        out.answer([_plain(item) for item in scenarios])
    else:
        out.table(["SCENARIO", "WHAT HAPPENS"], [[item.name, item.summary] for item in scenarios])


@scenario_command.command(
    "show", epilog="Example: halab scenario show crash-vip-holder > mine.yaml"
)
@click.argument("scenario", shell_complete=complete_scenario)
@option_output
def show(scenario: str, output: str) -> None:
    """Print a scenario as it is written, to start your own from."""
    from lab.cli import output as out
    from lab.scenarios import catalog

    chosen = catalog.find(scenario)
    if output == "json":
        out.answer(_plain(chosen))
    else:
        click.echo(Path(chosen.path).read_text(encoding="utf-8"), nl=False)


def _plain(item: Scenario) -> dict[str, Any]:
    return {
        "name": item.name,
        "summary": item.summary,
        "steps": [step.describe() for step in item.steps],
        "probes": [asdict(probe) for probe in item.user_probes],
        "writes": [asdict(row) for row in item.user_writes],
        "expect": [expectation.text for expectation in item.expect],
        "path": item.path,
    }


@scenario_command.command(
    "run",
    epilog="Examples: halab scenario run 3m3w crash-vip-holder"
    " · halab scenario run lab.yaml mine.yaml --repeats 10"
    " · halab scenario run 3m3w crash-worker --probe shop=http://vip:30080/",
)
@click.argument("lab", metavar="LAB|FILE", shell_complete=complete_topology)
@click.argument("scenario", shell_complete=complete_scenario)
@click.option(
    "--seed",
    type=int,
    default=None,
    help="Seed for every random choice; the report names the one that was used.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 100),
    default=None,
    help="Number of runs; each has its own folder.",
)
@click.option(
    "--probe",
    "probes",
    metavar="NAME=URL",
    multiple=True,
    help="Measure a service of yours, too: http://, https://, tcp://, grpc:// or "
    "'kubectl://NAMESPACE/POD -- COMMAND'. May be given several times.",
)
@option_output
def run(
    lab: str,
    scenario: str,
    seed: int | None,
    repeats: int | None,
    probes: tuple[str, ...],
    output: str,
) -> None:
    """Run SCENARIO on a lab. A lab that does not exist yet is started from FILE.

    Exit code 0 if all expectations are met, 4 if one is not, 5 if there is too little to tell.
    """
    from lab.cli import output as out
    from lab.scenarios import catalog
    from lab.scenarios import run as runs

    held = is_bare(lab) and is_lab(lab, client.connect())
    own = () if held or topology_path(lab) is None else load_scenarios(lab)
    chosen = _with_probes(catalog.find(scenario, own), probes)
    with out.Progress(f"{chosen.name} on {lab}") as progress:
        handle = _running(lab, progress)
        done = _repeat(handle, chosen, seed, repeats or chosen.repeats, progress)
    if output == "json":
        out.answer({"runs": [_run(one) for one in done], "figures": runs.summary(done)})
    else:
        _show_reports(done)
    raise SystemExit(EXIT_INTERRUPTED if done[-1].error == INTERRUPTED else runs.exit_code(done))


def _with_probes(scenario: Scenario, options: tuple[str, ...]) -> Scenario:
    """Return a scenario that measures what the options name, too."""
    from lab.topology.user_probes import of_option

    asked = tuple(of_option(option) for option in options)
    return replace(scenario, user_probes=(*scenario.user_probes, *asked))


def _repeat(
    lab: Lab, scenario: Scenario, seed: int | None, repeats: int, progress: Reporter
) -> list[ScenarioRun]:
    """Run a scenario so many times, or until it is interrupted."""
    from lab.scenarios import run as runs

    done: list[ScenarioRun] = []
    for number in range(repeats):
        own_seed = None if seed is None else seed + number
        one = runs.run(lab, scenario, own_seed, progress, threading.Event())
        done.append(one)
        progress.done(scenario.name, f"run {number + 1}: {one.outcome}: {one.folder}")
        if one.error == INTERRUPTED:
            break
    return done


def _running(argument: str, progress: Reporter) -> Lab:
    """Return the lab that an argument means, started if it does not exist yet."""
    from lab.lifecycle.start import start
    from lab.live import lab as labs

    connected = client.connect()
    name = argument
    if not is_lab(argument, connected) and topology_path(argument) is not None:
        topology = load_topology(argument)
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


def _show_reports(done: list[ScenarioRun]) -> None:
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
