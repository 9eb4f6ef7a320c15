"""verify: the reference installation's checks as one command."""

from __future__ import annotations

from dataclasses import asdict

import click

from lab.cli import option_output
from lab.cli.common import complete_lab, find_lab

EXIT_FAIL = 4
"""The verdict is: failed (lab/base/errors.py has the whole list)."""


@click.command("verify", epilog="Example: halab verify 3m3w -o json")
@click.argument("lab", required=False, shell_complete=complete_lab)
@option_output
def verify_command(lab: str | None, output: str) -> None:
    """Check a lab as its authors did by hand, with the command that a person would type for each check.

    Nodes, pods, endpoints, services, etcd's members and terms, VIP and quorum, the API by each way, DNS from a pod on every worker, pod to
    pod. Exit code 0 when all is well, 4 when something is not.
    """
    from lab.cli import output as out
    from lab.live.verify import verify

    found = find_lab(lab)
    with out.Progress(f"verifying {found.name}") as progress:
        outcomes = verify(
            found, lambda subject, text: progress.say("now", f"{subject}: {text}"[:100])
        )
    wrong = [outcome for outcome in outcomes if not outcome.ok]
    if output == "json":
        out.answer(
            {
                "lab": found.name,
                "verdict": "fail" if wrong else "pass",
                "checks": [asdict(outcome) for outcome in outcomes],
            }
        )
    else:
        out.table(
            ["", "CHECK", "ON", "FOUND"],
            [["✓" if row.ok else "✗", row.name, row.node, row.detail] for row in outcomes],
        )
        click.echo("\nWhat a person would type (halab shell LAB NODE):")
        out.table(
            ["CHECK", "ON", "COMMAND"], [[row.name, row.node, row.command] for row in outcomes]
        )
        click.echo(f"\n{len(outcomes) - len(wrong)} of {len(outcomes)} checks passed")
    raise SystemExit(EXIT_FAIL if wrong else 0)
