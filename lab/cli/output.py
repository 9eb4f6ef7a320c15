"""How progress and answers look: live lines on a terminal, plain ones elsewhere.

The answer goes to stdout, all else to stderr.
"""

from __future__ import annotations

import itertools
import json
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import click

from lab.base.sizes import spell
from lab.cli import verbosity

if TYPE_CHECKING:
    from types import TracebackType

    from rich.live import Live
    from rich.table import Table

    from lab.live.status import LabStatus, NodeStatus
    from lab.nodes.ha.fencings import Fencing
    from lab.topology.model import MachineSize

GAP = "  "
"""Between the columns of a table."""
NARROW = 100
"""Of a live line's text."""
WIDTH = 120
"""Of a table with long texts."""
LEAST = 20
"""What a wide column keeps, however wide the others are."""
NO_BREAK = "\N{NO-BREAK SPACE}"
"""Keeps words of a cell of `wrapped` on one line. Printed as a space."""


class Progress:
    """A Reporter for people, with one line for each subject.

    Live where stderr is a terminal; elsewhere a line for every change.
    """

    def __init__(self, title: str) -> None:
        """Start the clock; nothing is shown yet."""
        self._begin = time.monotonic()
        self._rows: dict[str, tuple[str, str, float]] = {}
        self._lock = threading.Lock()
        self._title = title
        self._quiet = verbosity.quiet()
        self._live = self._lines() if _shows_live() else None

    def _lines(self) -> Live:
        """Return the live lines. Who sees none does not wait for the import of their library."""
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        return Live(get_renderable=self._table, console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        """Start the live lines."""
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
        from rich.table import Table

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


def _shows_live() -> bool:
    """Whether progress is shown by lines that change."""
    return sys.stderr.isatty() and not verbosity.quiet() and not verbosity.verbose()


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def answer(data: Any) -> None:  # noqa: ANN401 (any JSON value)
    """Print the answer as JSON."""
    click.echo(json.dumps(data, indent=2, default=str))


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Print the answer as a table, as wide as it needs to be: a pipe must not cut it."""
    widths = _widths([columns, *rows])
    for row in [columns, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo(GAP.join(cells).rstrip())


def wrapped(columns: list[str], rows: list[list[str]], width: int = WIDTH) -> None:
    """Print a table that is at most so wide: cells of wide columns go on in further lines."""
    widths = _fitted(_widths([columns, *rows]), width)
    lines: list[list[str]] = []
    for row in rows:
        cells = [_wrap(cell, room) for cell, room in zip(row, widths, strict=True)]
        lines += map(list, itertools.zip_longest(*cells, fillvalue=""))
    table(columns, lines)


def _widths(rows: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _fitted(widths: list[int], width: int) -> list[int]:
    """Return the widths of columns that fit: the widest gives way, until another one is."""
    fitted = list(widths)
    room = width - len(GAP) * (len(fitted) - 1)
    while sum(fitted) > room and max(fitted) > LEAST:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _wrap(cell: str, width: int) -> list[str]:
    lines = textwrap.wrap(cell, width, break_on_hyphens=False)
    return [line.replace(NO_BREAK, " ") for line in lines]


def status(lab: LabStatus) -> None:
    """Print a lab's status for people."""
    holder = ", ".join(lab.vip_holders) or "nobody"
    leader = lab.etcd_leader or "none"
    kind = f"{lab.distribution}: {lab.release}" if lab.release else lab.distribution
    click.echo(
        f"lab {lab.name} ({kind})   API {lab.api}   VIP {lab.vip} held by {holder}"
        f"   etcd leader {leader}"
    )
    if not lab.fencing:
        off = "fencing is off (`ha: {fencing: none}`)"
        click.echo(f"{off}: a lost master's address is taken over on a guess")
    elif lab.bmc != "running":
        click.echo(
            f"nobody can be fenced: the baseboard controllers are {lab.bmc}"
            f" (`halab start {lab.name} bmc`)"
        )
    columns = ["NODE", "ROLE", "ADDRESS", "MACHINE", "KUBERNETES", "VERSION", "ETCD", "API", "VIP"]
    bmc = ["bmc", "bmc", "-", lab.bmc, "-", "-", "-", "-", ""]
    rows = [*map(_node_row, lab.nodes), bmc]
    limits = [*(_limits(node.size) for node in lab.nodes), ""]
    if any(limits):
        columns.append("AT MOST")
        rows = [[*row, limit] for row, limit in zip(rows, limits, strict=True)]
    table(columns, rows)
    nodes_off = {node.name for node in lab.nodes if node.state == "exited"}
    for fencing in lab.fencings:
        remedy = _remedy(lab, fencing) if fencing.node in nodes_off else ""
        click.echo(f"{fencing.sentence()}{remedy}")
    for fault in lab.faults:
        click.echo(f"fault on: {fault} (`halab fault heal {lab.name}`)")
    for problem in lab.problems:
        click.echo(f"! {problem}", err=True)


def _remedy(lab: LabStatus, fencing: Fencing) -> str:
    """Return how a fenced machine that is off comes back; halab's own faults say so themselves."""
    return "" if fencing.faults else f"; `halab start {lab.name} {fencing.node}` powers it on"


def _limits(size: MachineSize) -> str:
    """Return what a machine may use, `1.5 cpus, 1 GiB`; empty where there is no limit."""
    cpus = f"{size.millicpus / 1000:g} cpus" if size.millicpus else ""
    memory = spell(size.memory) if size.memory else ""
    return ", ".join(filter(None, (cpus, memory)))


def _node_row(node: NodeStatus) -> list[str]:
    vip = "VIP" if node.vip else ""
    return [
        node.name,
        node.role,
        node.ip,
        node.state,
        node.kubernetes,
        node.version,
        node.etcd,
        node.api,
        vip,
    ]
