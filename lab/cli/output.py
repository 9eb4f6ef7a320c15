"""How progress and answers look: live lines on a terminal, plain ones elsewhere; talk on stderr, the answer on stdout."""

from __future__ import annotations

import json
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from lab.cli import verbosity

if TYPE_CHECKING:
    from types import TracebackType

    from lab.live.status import LabStatus

NARROW = 100
WIDTH = 120
"""Of a table with long texts."""
LEAST = 20
"""What the widest column keeps, however wide the others are."""


class Progress:
    """A Reporter for people: one line for each subject. Live where stderr is a terminal, else a line for every change."""

    def __init__(self, title: str) -> None:
        """Begin the clock; nothing is shown yet."""
        self._console = Console(stderr=True)
        self._begin = time.monotonic()
        self._rows: dict[str, tuple[str, str, float]] = {}
        self._lock = threading.Lock()
        self._title = title
        self._quiet = verbosity.quiet()
        self._live = (
            Live(get_renderable=self._table, console=self._console, refresh_per_second=4)
            if self._console.is_terminal and not self._quiet and not verbosity.verbose()
            else None
        )

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last state on the screen."""
        if self._live:
            self._live.__exit__(kind, error, trace)

    @property
    def _shows_lines(self) -> bool:
        return self._live is None and not self._quiet

    def _seconds(self) -> float:
        return time.monotonic() - self._begin

    def _note(self, mark: str, subject: str, text: str) -> None:
        with self._lock:
            before = self._rows.get(subject)
            self._rows[subject] = (mark, text, self._seconds())
            if self._shows_lines and (before is None or before[:2] != (mark, text)):
                click.echo(f"{self._seconds():6.1f} s  {mark} {subject}: {text}", err=True)

    def say(self, subject: str, text: str) -> None:
        """Show what a subject does or waits for."""
        self._note("…", subject, text)

    def done(self, subject: str, text: str) -> None:
        """Show that a subject is finished."""
        self._note("✓", subject, text)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row("", f"[bold]{self._title}[/bold]", f"{self._seconds():.0f} s")
        with self._lock:
            for subject, (mark, text, at) in self._rows.items():
                colour = "green" if mark == "✓" else "yellow"
                table.add_row(
                    f"[{colour}]{mark}[/{colour}]",
                    subject,
                    f"{_escape(text)[:NARROW]}  [dim]{at:.0f} s[/dim]",
                )
        return table


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def answer(data: Any) -> None:  # noqa: ANN401 (any JSON value)
    """Print the answer as JSON."""
    click.echo(json.dumps(data, indent=2, default=str))


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Print the answer as a table, as wide as it needs to be: a pipe must not cut it."""
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    for row in [columns, *rows]:
        click.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def wrapped(columns: list[str], rows: list[list[str]], width: int = WIDTH) -> None:
    """Print a table that is at most so wide: its widest column goes on in further lines."""
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    widest = widths.index(max(widths))
    others = sum(widths) - widths[widest] + 2 * (len(columns) - 1)
    room = max(width - others, LEAST)
    lines: list[list[str]] = []
    for row in rows:
        first, *more = textwrap.wrap(row[widest], room, break_on_hyphens=False) or [""]
        lines.append([*row[:widest], first, *row[widest + 1 :]])
        lines += [[text if at == widest else "" for at in range(len(columns))] for text in more]
    table(columns, lines)


def status(found: LabStatus) -> None:
    """Print a lab's status for people."""
    holder = ", ".join(found.vip_holders) or "nobody"
    leader = found.etcd_leader or "none"
    kind = f"{found.distribution}: {found.release}" if found.release else found.distribution
    click.echo(
        f"lab {found.name} ({kind})   API {found.api}   VIP {found.vip} held by {holder}   etcd leader {leader}"
    )
    if not found.fencing:
        off = "fencing is off (`ha: {fencing: none}`)"
        click.echo(f"{off}: a lost master's address is taken over on a guess")
    elif found.bmc != "running":
        click.echo(
            f"nobody can be fenced: the baseboard controllers are {found.bmc} (`halab start {found.name} bmc`)"
        )
    columns = ["NODE", "ROLE", "ADDRESS", "MACHINE", "KUBERNETES", "VERSION", "ETCD", "API", "VIP"]
    table(
        columns,
        [
            [
                n.name,
                n.role,
                n.ip,
                n.state,
                n.kubernetes,
                n.version,
                n.etcd,
                n.api,
                "VIP" if n.vip else "",
            ]
            for n in found.nodes
        ]
        + [["bmc", "bmc", "-", found.bmc, "-", "-", "-", "-", ""]],
    )
    for fencing in found.fencings:
        click.echo(fencing.told())
    for fault in found.faults:
        click.echo(f"fault on: {fault} (`halab fault heal {found.name}`)")
    for problem in found.problems:
        click.echo(f"! {problem}", err=True)
