"""start, plan, status, list, stop, destroy."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lab.base.errors import InputError, LabError
from lab.base.names import is_name
from lab.cli import option_output
from lab.cli.common import (
    bare,
    complete_lab,
    complete_node,
    complete_topology,
    find_lab,
    load_topology,
    topology_path,
)
from lab.cli.verbosity import hint
from lab.engine import client

if TYPE_CHECKING:
    from lab.base.progress import Reporter
    from lab.lifecycle.plan import Plan
    from lab.live.lab import Lab

START_EXAMPLES = """
\b
Examples:
  halab start topologies/3m3w.yaml        a file
  halab start 3m3w --name demo            a shipped topology, under another name
  halab start 3m3w --set ha.token=400ms   with one value changed
  halab start 3m3w w1                     one node of a lab that exists
"""


def _plan_text(plan: Plan) -> None:
    from lab.cli import output

    if plan.empty:
        click.echo("nothing to do")
        return
    output.table(
        ["STEP", "SUBJECT", "REASON"],
        [[step.action.value, step.subject, step.reason] for step in plan.steps],
    )


def _lab(word: str, overrides: tuple[str, ...], name: str, reporter: Reporter | None = None) -> Lab:
    """Give the lab that a word means: one that the engine holds; else a file or shipped topology.

    A lab knows what it was made of, its file may say something else by now. Who wants the file's
    says so by a slash, an ending, --set or --name.
    """
    from lab.base.progress import Silent
    from lab.live import lab

    if bare(word) and not overrides and not name:
        connected = client.connect()
        held = connected.labs()
        if word in held and held[word].topology:
            return lab.find(connected, word, reporter, held)
    if topology_path(word) is not None:
        topology = load_topology(word, overrides, name)
        return lab.Lab(client.connect(), topology, reporter or Silent())
    connected = client.connect()
    held = connected.labs()
    if word in held:
        if overrides or name:
            raise InputError(
                "--set and --name go with a topology file, not with a lab that exists",
                f"`halab start {word}`",
            )
        return lab.find(connected, word, reporter, held)
    load_topology(word)  # raises, and says what there is
    raise AssertionError(word)


@click.command("start", epilog=START_EXAMPLES)
@click.argument("file", metavar="FILE|LAB", shell_complete=complete_topology)
@click.argument("node", required=False, default="", shell_complete=complete_node)
@click.option("--name", default="", help="Another name for the lab than the file's.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the file, e.g. ha.token=400ms.",
)
@click.option(
    "--distribution", default="", metavar="D", help="Use this distribution: k3s or upstream."
)
@click.option(
    "--timeout",
    default=300.0,
    show_default=True,
    help="Seconds to wait for the lab once it has booted.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@option_output
def start_command(
    file: str,
    node: str,
    name: str,
    overrides: tuple[str, ...],
    distribution: str,
    timeout: float,
    dry_run: bool,
    output: str,
) -> None:
    """Bring a lab up and wait until it works. A second start changes nothing."""
    from lab.cli import output as out
    from lab.kube import kubeconfig
    from lab.lifecycle.start import start, start_node
    from lab.live.status import look

    if dry_run:
        _show_plan(_lab(file, overrides, name), distribution, output)
        return
    with out.Progress(f"starting {file}") as progress:
        lab = _lab(file, overrides, name, progress)
        started = start_node(lab, node) if node else start(lab, distribution, timeout)
    for reason in started.why_not:
        hint(f"not used: {reason}")
    access = started.access or lab.access()
    own_path = kubeconfig.own_path(lab.name)
    kubeconfig.write(own_path, access.kubeconfig(lab.name))
    found = look(lab, access)
    if output == "json":
        out.answer(
            {
                **found.to_dict(),
                "changed": not started.plan.empty,
                "why_not": started.why_not,
                "kubeconfig": str(own_path),
            }
        )
        return
    if started.plan.empty:
        hint(f"lab {lab.name} runs already; no machine was changed")
    out.status(found)
    hint(
        f"\nTry next:\n  halab kubectl {lab.name} -- get pods -A -o wide\n"
        f"  export KUBECONFIG={kubeconfig.own_path(lab.name)}\n  halab shell {lab.name} {lab.topology.masters[0].name}"
    )


def _show_plan(lab: Lab, distribution: str, output: str) -> None:
    from lab.cli import output as out
    from lab.lifecycle.start import preview

    plan = preview(lab, distribution)
    if output == "json":
        out.answer({"lab": lab.name, "steps": [asdict(step) for step in plan.steps]})
    else:
        _plan_text(plan)


@click.command("plan", epilog="Example: halab plan topologies/3m3w.yaml")
@click.argument("file", metavar="FILE|LAB", shell_complete=complete_topology)
@click.option("--name", default="", help="Another name for the lab than the file's.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value of the file."
)
@click.option("--distribution", default="", metavar="D", help="Plan for this distribution.")
@option_output
def plan_command(
    file: str, name: str, overrides: tuple[str, ...], distribution: str, output: str
) -> None:
    """Show what `start` would do. Changes nothing."""
    _show_plan(_lab(file, overrides, name), distribution, output)


@click.command("status", epilog="Example: halab status 3m3w -o json")
@click.argument("lab", required=False, shell_complete=complete_lab)
@option_output
def status_command(lab: str | None, output: str) -> None:
    """Show a lab: its machines, who holds the VIP, who leads etcd. LAB may be left out where there is only one."""
    from lab.cli import output as out
    from lab.live.status import look

    found = look(find_lab(lab))
    if output == "json":
        out.answer(found.to_dict())
    else:
        out.status(found)


@click.command("list", epilog="Example: halab list -o json")
@option_output
def list_command(output: str) -> None:
    """List the labs of this engine."""
    from lab.cli import output as out
    from lab.engine.labels import LABEL_DISTRIBUTION

    rows = []
    for name, observed in client.connect().labs().items():
        nodes = [found for found in observed.containers if "halab.node" in found.labels]
        distribution = next(
            (
                found.labels[LABEL_DISTRIBUTION]
                for found in nodes
                if LABEL_DISTRIBUTION in found.labels
            ),
            "",
        )
        rows.append(
            {
                "name": name,
                "distribution": distribution,
                "nodes": len(nodes),
                "running": sum(found.running for found in nodes),
            }
        )
    if output == "json":
        out.answer(rows)
    elif rows:
        out.table(
            ["LAB", "DISTRIBUTION", "NODES", "RUNNING"],
            [[str(value) for value in row.values()] for row in rows],
        )
    else:
        hint("no labs; `halab start 3m3w` makes one")


@click.command("stop", epilog="Examples: halab stop 3m3w · halab stop 3m3w w1")
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.argument("nodes", nargs=-1, metavar="[NODE]...", shell_complete=complete_node)
@option_output
def stop_command(lab: str | None, nodes: tuple[str, ...], output: str) -> None:
    """Shut a lab down, or some of its nodes; disks stay. `halab start LAB [NODE]` powers on again."""
    from lab.cli import output as out
    from lab.lifecycle.stop import stop

    with out.Progress("stopping") as progress:
        plan = stop(find_lab(lab, progress), *nodes)
    if output == "json":
        out.answer({"stopped": [step.subject for step in plan.steps]})
    elif plan.empty:
        hint("nothing ran")


@click.command("destroy", epilog="Examples: halab destroy 3m3w · halab destroy --all")
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.option("--all", "everything", is_flag=True, help="Every lab of this engine.")
@option_output
def destroy_command(lab: str | None, everything: bool, output: str) -> None:
    """Remove a lab: containers, networks, volumes, kubeconfig. Only what bears the lab's label; half-made labs, too."""
    from lab.cli import output as out
    from lab.kube import kubeconfig
    from lab.lifecycle import removal

    connected = client.connect()
    known = list(connected.labs())
    if not everything and lab is None and len(known) != 1:
        raise InputError(
            "name the lab to destroy, or say --all", f"labs here: {', '.join(known) or 'none'}"
        )
    names = known if everything else [lab or known[0]]
    removed = {}
    foreign = [name for name in names if everything and not is_name(name)]
    with out.Progress("destroying") as progress:
        for name in (name for name in names if name not in foreign):
            plan = removal.destroy(connected, name, progress)
            kubeconfig.unmerge(kubeconfig.user_path(), name)
            removed[name] = len(plan.steps)
            progress.done(
                name,
                f"removed {len(plan.steps)} containers, volumes and networks"
                if plan.steps
                else "there was nothing",
            )
    if output == "json":
        out.answer({"removed": removed})
    if foreign:
        raise LabError(
            f"not removed is what bears a label that no lab has: {', '.join(map(repr, foreign))}",
            "halab did not make it; look with `docker ps -a --filter label=halab.lab`",
        )
