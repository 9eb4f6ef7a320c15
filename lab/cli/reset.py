"""reset: a lab goes back to what it was after its start, for use between tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lab.base.errors import InputError
from lab.cli.options import complete_lab, find_lab, option_output
from lab.cli.verbosity import hint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.kube.inventory import ObjectKey
    from lab.lifecycle.reset_result import ResetResult

EXAMPLES = """
\b
Examples:
  halab reset 3m3w             between two tests
  halab reset 3m3w --dry-run   what would be removed and put back
  halab reset 3m3w --record    what is there now stays: later resets go back to it
"""


@click.command("reset", epilog=EXAMPLES)
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@click.option(
    "--record", is_flag=True, help="Record what is there now as what later resets go back to."
)
@option_output
def reset_command(lab: str | None, dry_run: bool, record: bool, output: str) -> None:
    """Bring a lab back to what it was after its start.

    Objects that were made since are removed, changed and removed ones are put back, add-ons that
    were enabled since are disabled; faults are healed, machines powered on. Killed, run it again.

    Jobs, PVCs with their data, and pods of no workload do not come back once they were removed.
    """
    from lab.cli import output as out
    from lab.lifecycle import reset

    if dry_run and record:
        raise InputError("--dry-run and --record exclude each other", "leave one of them out")
    with out.Progress("resetting") as progress:
        handle = find_lab(lab, progress)
        if record:
            count = reset.record(handle)
        else:
            result = reset.preview_reset(handle) if dry_run else reset.reset(handle)
    if record:
        if output == "json":
            out.answer({"lab": handle.name, "recorded": count})
        else:
            hint(f"{count} objects are recorded; `halab reset {handle.name}` goes back to them")
    elif output == "json":
        out.answer({**result.to_dict(), "dry_run": dry_run})
    elif result.changed:
        out.table(["WHAT", "SUBJECT"], [list(row) for row in _rows(result)])
    else:
        hint("nothing differs from what was there after the start")


def _rows(result: ResetResult) -> Iterator[tuple[str, str]]:
    yield from (("heal", text) for text in result.healed)
    yield from (("power on", name) for name in result.powered_on)
    yield from (("disable add-on", name) for name in result.disabled)
    yield from (("put back", str(key)) for key in result.restored)
    yield from (("remove", _removed(result, key)) for key in result.removed)


def _removed(result: ResetResult, key: ObjectKey) -> str:
    inside = result.contents.get(key.name, 0) if key.resource == "namespaces" else 0
    return f"{key} with {inside} objects" if inside else str(key)
