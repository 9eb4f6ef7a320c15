"""doctor: whether this machine can run a lab."""

from __future__ import annotations

from dataclasses import asdict

import click

from lab.cli import option_output
from lab.cli.common import complete_topology, load_topology

MARKS = {"ok": "✓", "warning": "!", "failed": "✗"}


@click.command("doctor", epilog="Examples: halab doctor · halab doctor 3m3w --fix")
@click.argument("file", required=False, shell_complete=complete_topology)
@click.option(
    "--fix",
    is_flag=True,
    help="Do what can be done: install and start Docker, set limits, remove left-overs.",
)
@click.option(
    "--machine",
    is_flag=True,
    help="The machine alone: no look at the subnet and port that the topology wants.",
)
@option_output
def doctor_command(file: str | None, fix: bool, machine: bool, output: str) -> int:
    """Look whether this machine can run a lab (of FILE, if named). Exit code 1 where something fails."""
    from lab.cli import output as out
    from lab.host import doctor, fixes

    topology = load_topology(file) if file else None
    of_a_lab = ("subnet", "port") if machine else ()
    findings = [finding for finding in doctor.examine(topology) if finding.name not in of_a_lab]
    if fix:
        fixes.fix(findings, tell=lambda text: click.echo(text, err=True))
        findings = [finding for finding in doctor.examine(topology) if finding.name not in of_a_lab]
    if output == "json":
        out.answer([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(
                f"{MARKS[finding.state]} {finding.name}: {finding.seen}"
                + (f"\n    → {finding.remedy}" if finding.remedy else "")
            )
    raise SystemExit(1 if any(finding.state == "failed" for finding in findings) else 0)
