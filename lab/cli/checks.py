"""doctor, verify: whether this machine can run a lab, and whether a lab works."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click

from lab.cli.options import (
    complete_lab,
    complete_topology,
    find_lab,
    load_topology,
    option_output,
)

if TYPE_CHECKING:
    from lab.base.progress import Reporter
    from lab.host.findings import Finding
    from lab.topology.model import Topology

EXIT_FAIL = 4
"""The verdict is: failed (lab/base/errors.py has the whole list)."""
MARKS = {"ok": "✓", "warning": "!", "failed": "✗"}
LIVE_WIDTH = 100
"""Of a check's text while it is asked."""


@click.command("doctor", epilog="Examples: halab doctor · halab doctor 3m3w --fix")
@click.argument("file", required=False, shell_complete=complete_topology)
@click.option(
    "--fix",
    is_flag=True,
    help="Fix what can be fixed: install and start Docker, set limits, remove left-overs.",
)
@click.option(
    "--machine",
    is_flag=True,
    help="Check the machine only, not the subnet and port of the topology.",
)
@option_output
def doctor_command(file: str | None, fix: bool, machine: bool, output: str) -> int:
    """Check whether this machine can run a lab (that of FILE, if given).

    Exit code 1 if a check fails.
    """
    from lab.cli import output as out
    from lab.host import fixes

    topology = load_topology(file) if file else None
    findings = _examine(topology, machine=machine)
    if fix:
        fixes.fix(findings, tell=partial(click.echo, err=True))
        findings = _examine(topology, machine=machine)
    if output == "json":
        out.answer([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{MARKS[finding.state]} {finding.name}: {finding.seen}")
            if finding.remedy:
                click.echo(f"    → {finding.remedy}")
    raise SystemExit(1 if any(finding.state == "failed" for finding in findings) else 0)


def _examine(topology: Topology | None, *, machine: bool) -> list[Finding]:
    """Return what the doctor finds; without what only a lab needs, if the machine alone counts."""
    from lab.host import doctor

    left_out = ("subnet", "port") if machine else ()
    return [finding for finding in doctor.examine(topology) if finding.name not in left_out]


@click.command("verify", epilog="Example: halab verify 3m3w -o json")
@click.argument("lab", required=False, shell_complete=complete_lab)
@option_output
def verify_command(lab: str | None, output: str) -> None:
    """Check that a lab works, and show the command that checks the same by hand.

    Checked are nodes, pods, endpoints, services, etcd's members and terms, VIP and quorum, the API
    by each way, DNS from a pod on every worker, and traffic from pod to pod. What is not so yet is
    asked again, for 20 s in all. Exit code 0 if all is well, 4 if something is not.
    """
    from lab.cli import output as out
    from lab.live.verify import verify

    handle = find_lab(lab)
    with out.Progress(f"verifying {handle.name}") as progress:
        outcomes = verify(handle, partial(_show_check, progress))
    failed = [outcome for outcome in outcomes if not outcome.ok]
    if output == "json":
        out.answer(
            {
                "lab": handle.name,
                "verdict": "fail" if failed else "pass",
                "checks": [asdict(outcome) for outcome in outcomes],
            }
        )
    else:
        results = [["✓" if row.ok else "✗", row.name, row.node, row.detail] for row in outcomes]
        out.table(["", "CHECK", "ON", "FOUND"], results)
        click.echo("\nThe same by hand (`halab shell LAB NODE`):")
        commands = [[row.name, row.node, row.command] for row in outcomes]
        out.table(["CHECK", "ON", "COMMAND"], commands)
        click.echo(f"\n{len(outcomes) - len(failed)} of {len(outcomes)} checks passed")
        for row in failed:
            click.echo(f"✗ {row.name}: {row.detail}")
    raise SystemExit(EXIT_FAIL if failed else 0)


def _show_check(progress: Reporter, subject: str, text: str) -> None:
    progress.say("now", f"{subject}: {text}"[:LIVE_WIDTH])
