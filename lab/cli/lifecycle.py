"""start, plan, status, list, stop, destroy."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.base.errors import InputError, LabError
from lab.base.names import is_name
from lab.cli.options import (
    complete_lab,
    complete_node,
    complete_topology,
    find_lab,
    find_observed,
    is_bare,
    load_topology,
    option_output,
    topology_path,
)
from lab.cli.snapshot import complete_snapshot, lab_of
from lab.cli.verbosity import hint
from lab.engine import client

if TYPE_CHECKING:
    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.engine.spec import Observed
    from lab.lifecycle.plan import Plan
    from lab.live.access import Access
    from lab.live.lab import Lab
    from lab.live.snapshots import Snapshot
    from lab.live.status import LabStatus

RUNNING = "running"
"""The engine's term for the state of a container that runs."""
START_EXAMPLES = """
\b
Examples:
  halab start topologies/3m3w.yaml        a file
  halab start 3m3w --name demo            a shipped topology, under another name
  halab start 3m3w --set ha.token=400ms   with one value changed
  halab start 3m3w w1                     one node of a lab that exists
  halab start 3m3w --profile=DIR          DIR/profile.json says where the seconds go
  halab start --from before --name two    a lab as snapshot `before` has it
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


def _lab(
    argument: str, overrides: tuple[str, ...], name: str, reporter: Reporter | None = None
) -> Lab:
    """Return the lab that an argument means: one that the engine holds, else a topology's.

    A lab knows what it was made of; its file may say something else by now. A slash, an ending,
    --set or --name says that the file is meant.
    """
    from lab.base.progress import Silent
    from lab.live import lab

    if is_bare(argument) and not overrides and not name:
        connected = client.connect()
        held = connected.labs()
        if argument in held and held[argument].topology:
            return lab.find(connected, argument, reporter, held)
    if topology_path(argument) is not None:
        topology = load_topology(argument, overrides, name)
        return lab.Lab(client.connect(), topology, reporter or Silent())
    connected = client.connect()
    held = connected.labs()
    if argument in held:
        if overrides or name:
            raise InputError(
                "--set and --name are for a topology file, not for a lab that exists",
                f"`halab start {argument}`",
            )
        return lab.find(connected, argument, reporter, held)
    load_topology(argument)  # raises, and lists what there is
    raise AssertionError(argument)


@click.command("start", epilog=START_EXAMPLES)
@click.argument(
    "file", metavar="FILE|LAB", required=False, default="", shell_complete=complete_topology
)
@click.argument("node", required=False, default="", shell_complete=complete_node)
@click.option("--name", default="", help="Give the lab this name instead of the file's.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the file, for example ha.token=400ms.",
)
@click.option(
    "--distribution", default="", metavar="D", help="Use this distribution: k3s or upstream."
)
@click.option(
    "--timeout",
    default=300.0,
    show_default=True,
    help="Seconds to wait for the lab after it has booted.",
)
@click.option(
    "--from",
    "snapshot_name",
    default="",
    metavar="SNAPSHOT",
    shell_complete=complete_snapshot,
    help="Make the lab from a snapshot instead of a file; --set takes network.subnet alone.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option(
    "--profile",
    "profile_folder",
    is_flag=False,
    flag_value=".",
    default=None,
    metavar="[FOLDER]",
    type=click.Path(path_type=Path),
    help="Say where the seconds go, and write profile.json (for ui.perfetto.dev) to the folder.",
)
@option_output
def start_command(
    file: str,
    node: str,
    name: str,
    overrides: tuple[str, ...],
    distribution: str,
    timeout: float,
    snapshot_name: str,
    dry_run: bool,
    profile_folder: Path | None,
    output: str,
) -> None:
    """Start a lab, or one NODE of it, and wait until it works. A second start changes nothing."""
    from lab.cli import output as out
    from lab.cli import profile as profiles
    from lab.lifecycle.start import start, start_node
    from lab.live.status import look

    named = bool(file or snapshot_name)
    profile = profiles.begin(profile_folder, node, named=named, dry_run=dry_run)
    _refuse_both(file, snapshot_name)
    with out.Progress(f"starting {file or f'from {snapshot_name}'}") as progress:
        reporter = profile.hearing(progress) if profile else progress
        lab, snapshot = _lab_and_snapshot(file, snapshot_name, name, overrides, reporter)
        if dry_run:
            _show_plan(lab, distribution, output, snapshot)
            return
        with profiles.also_of_a_failure(profile, profile_folder, lab):
            if node:
                started = start_node(lab, node)
            else:
                started = start(lab, distribution, timeout, profile=profile, snapshot=snapshot)
    for reason in started.why_not:
        hint(f"not used: {reason}")
    access = started.access or _access_after(lab, node)
    path = _write_kubeconfig(lab, access) if access else None
    more = profiles.end(profile, profile_folder, lab, shown=output == "text")
    status = started.status or look(lab, access)
    if output == "json":
        out.answer(
            {
                **status.to_dict(),
                "changed": not started.plan.empty,
                "why_not": started.why_not,
                "kubeconfig": str(path or ""),
                **more,
            }
        )
        return
    if started.plan.empty:
        hint(f"{node or f'lab {lab.name}'} runs already; no machine was changed")
    out.status(status)
    if node and (off := _off(status)):
        hint(f"{node} runs; still off: {', '.join(off)} (`halab start {lab.name}` starts all)")
    if path:
        hint(
            f"\nTry next:\n  halab kubectl {lab.name} -- get pods -A -o wide\n"
            f"  export KUBECONFIG={path}\n"
            f"  halab shell {lab.name} {lab.topology.masters[0].name}"
        )


def _refuse_both(file: str, snapshot: str) -> None:
    if bool(file) == bool(snapshot):
        raise click.UsageError(
            "name a topology file or a lab; or a snapshot by --from, and nothing else"
        )


def _lab_and_snapshot(
    file: str, snapshot: str, name: str, overrides: tuple[str, ...], reporter: Reporter
) -> tuple[Lab, Snapshot | None]:
    """Return the lab that is to be started, and the snapshot that it is made from, if any."""
    if snapshot:
        return lab_of(snapshot, name, overrides, reporter)
    return _lab(file, overrides, name, reporter), None


def _access_after(lab: Lab, node: str) -> Access | None:
    """Return the way to the API after a start that did not await it.

    None after the start of one node, if there is no way: that node was started all the same.
    """
    try:
        return lab.access()
    except LabError as error:
        if not node:
            raise
        hint(f"no kubeconfig was written: {error.message}")
        return None


def _write_kubeconfig(lab: Lab, access: Access) -> Path:
    from lab.kube import kubeconfig

    path = kubeconfig.own_path(lab.name)
    kubeconfig.write(path, access.kubeconfig(lab.name))
    return path


def _off(status: LabStatus) -> list[str]:
    """Return the machines of a lab that do not run."""
    states = {row.name: row.state for row in status.nodes} | {"bmc": status.bmc}
    return [name for name, state in states.items() if state != RUNNING]


def _show_plan(lab: Lab, distribution: str, output: str, snapshot: Snapshot | None = None) -> None:
    from lab.cli import output as out
    from lab.lifecycle.start import preview

    plan = preview(lab, distribution, snapshot)
    if output == "json":
        out.answer({"lab": lab.name, "steps": [asdict(step) for step in plan.steps]})
    else:
        _plan_text(plan)


@click.command("plan", epilog="Example: halab plan topologies/3m3w.yaml")
@click.argument("file", metavar="FILE|LAB", shell_complete=complete_topology)
@click.option("--name", default="", help="Give the lab this name instead of the file's.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value of the file."
)
@click.option("--distribution", default="", metavar="D", help="Plan for this distribution.")
@option_output
def plan_command(
    file: str, name: str, overrides: tuple[str, ...], distribution: str, output: str
) -> None:
    """Show what `start` would do. It changes nothing."""
    _show_plan(_lab(file, overrides, name), distribution, output)


@click.command("status", epilog="Example: halab status 3m3w -o json")
@click.argument("lab", required=False, shell_complete=complete_lab)
@option_output
def status_command(lab: str | None, output: str) -> None:
    """Show a lab: its machines, which of them holds the VIP, and which leads etcd.

    LAB may be left out if there is only one.
    """
    from lab.cli import output as out
    from lab.live.status import look

    handle, observed = find_observed(lab)
    status = look(handle, observed=observed)
    if output == "json":
        out.answer(status.to_dict())
    else:
        out.status(status)


@click.command("list", epilog="Example: halab list -o json")
@option_output
def list_command(output: str) -> None:
    """List the labs of this Docker engine."""
    from lab.cli import output as out

    rows = [_lab_row(name, observed) for name, observed in client.connect().labs().items()]
    if output == "json":
        out.answer(rows)
    elif rows:
        out.table(
            ["LAB", "DISTRIBUTION", "NODES", "RUNNING"],
            [[str(value) for value in row.values()] for row in rows],
        )
    else:
        hint("no labs; `halab start 3m3w` makes one")


def _lab_row(name: str, observed: Observed) -> dict[str, Any]:
    from lab.engine.labels import LABEL_NODE
    from lab.live.lab import distribution_of

    nodes = [container for container in observed.containers if LABEL_NODE in container.labels]
    return {
        "name": name,
        "distribution": distribution_of(observed),
        "nodes": len(nodes),
        "running": sum(node.running for node in nodes),
    }


@click.command("stop", epilog="Examples: halab stop 3m3w · halab stop 3m3w w1")
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.argument("nodes", nargs=-1, metavar="[NODE]...", shell_complete=complete_node)
@option_output
def stop_command(lab: str | None, nodes: tuple[str, ...], output: str) -> None:
    """Shut down a lab, or some of its nodes. Disks stay; `halab start` powers them on again."""
    from lab.cli import output as out
    from lab.lifecycle.stop import stop

    with out.Progress("stopping") as progress:
        plan = stop(find_lab(lab, progress), *nodes)
    if output == "json":
        out.answer({"stopped": [step.subject for step in plan.steps]})
    elif plan.empty:
        hint("nothing was running")


@click.command("destroy", epilog="Examples: halab destroy 3m3w · halab destroy --all")
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.option("--all", "everything", is_flag=True, help="Remove every lab of this Docker engine.")
@option_output
def destroy_command(lab: str | None, everything: bool, output: str) -> None:
    """Remove a lab: its containers, networks, volumes and kubeconfig.

    Only what carries the lab's label is removed. That works for a lab that is only half there, too.
    Snapshots stay: `halab snapshot remove`.
    """
    from lab.cli import output as out

    connected = client.connect()
    known = list(connected.labs())
    if not everything and lab is None and len(known) != 1:
        raise InputError(
            "name the lab to destroy, or use --all", f"labs here: {', '.join(known) or 'none'}"
        )
    names = known if everything else [lab or known[0]]
    removed = {}
    foreign = [name for name in names if everything and not is_name(name)]
    with out.Progress("destroying") as progress:
        for name in (name for name in names if name not in foreign):
            removed[name] = _destroy(connected, name, progress)
    if output == "json":
        out.answer({"removed": removed})
    if everything:
        _tell_of_snapshots(connected)
    if foreign:
        raise LabError(
            f"not removed, because no lab has such a name: {', '.join(map(repr, foreign))}",
            "halab did not make these; `docker ps -a --filter label=halab.lab` lists them",
        )


def _tell_of_snapshots(engine: Engine) -> None:
    from lab.live import snapshots

    if kept := snapshots.every(engine):
        hint(f"snapshots stay: {', '.join(kept)} (`halab snapshot remove --all`)")


def _destroy(engine: Engine, name: str, progress: Reporter) -> int:
    """Remove a lab and its entry in the user's kubeconfig. Return how many things were removed."""
    from lab.kube import kubeconfig
    from lab.lifecycle import removal

    count = len(removal.destroy(engine, name, progress).steps)
    kubeconfig.unmerge(kubeconfig.user_path(), name)
    what = f"removed {count} containers, volumes and networks" if count else "there was nothing"
    progress.done(name, what)
    return count
