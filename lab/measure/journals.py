"""The journals of a lab's machines, also of those that are off.

If a machine is off, its disk is read, and a helper container decodes its journal.
"""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import EngineError, LabError
from lab.engine.files import File, unpack
from lab.engine.labels import LABEL, LABEL_HELPER
from lab.measure.journal_events import FIELDS, Entry, entries, timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lab.engine.client import Engine
    from lab.engine.node import NodeHandle

FOLDER = "/var/log/journal"
READ_S = 60.0
"""For one machine's journal: an hour of a master's has some megabytes."""
LATE_S = 10.0
"""If a journal begins later than this after `begin`, lines were lost: machines wrote before
`begin`."""
JOURNALD = "systemd-journald"
SUPPRESSED = re.compile(r"Suppressed (?P<lines>\d+) messages from (?P<unit>\S+)")
"""How journald says that it dropped lines (systemd's src/journal/journald-rate-limit and
-server)."""


@dataclass(frozen=True, slots=True)
class Journals:
    """What was read, and why the rest could not be."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]

    def save(self, folder: Path, begin: float) -> None:
        """Write one file for each machine, and one of all, with times from the run's begin.

        `begin`: when the run began, on the machines' clock.
        """
        folder.mkdir(exist_ok=True)
        for node in sorted({entry.node for entry in self.entries}):
            (folder / f"{node}.log").write_text(
                timeline((entry for entry in self.entries if entry.node == node), begin),
                encoding="utf-8",
            )
        (folder / "all.log").write_text(timeline(self.entries, begin), encoding="utf-8")


def collect(
    engine: Engine, nodes: Iterable[NodeHandle], image: str, wall: float, begin: float
) -> Journals:
    """Return what the machines wrote since `begin`, on their monotonic clock.

    `wall`: the same moment, or an earlier one, in seconds since 1970. `image` has journalctl: a
    helper made of it reads the journals of machines that do not run.
    """
    machines = list(nodes)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda node: _one(engine, node, image, wall), machines))
    kept: list[Entry] = []
    problems: list[str] = []
    for node, (lines, problem) in zip(machines, answers, strict=True):
        kept += [entry for entry in entries(node.name, lines[1:]) if entry.t >= begin]
        problems.append(problem or lost(node.name, lines, begin))
    return Journals(tuple(kept), (*filter(None, problems), *suppressed(kept)))


def suppressed(journal: Iterable[Entry]) -> tuple[str, ...]:
    """Return how many lines of which unit a machine dropped because there were too many.

    journald says so itself, before the unit's next line (lab/nodes/files.py, LOG_LIMIT).
    """
    counts: Counter[tuple[str, str]] = Counter()
    for entry in journal:
        notice = SUPPRESSED.match(entry.text) if entry.who == JOURNALD else None
        if notice:
            counts[entry.node, notice["unit"]] += int(notice["lines"])
    return tuple(
        f"journal of {node}: {lines} lines of {unit} were too many at a time and are not in it"
        for (node, unit), lines in sorted(counts.items())
    )


def lost(name: str, lines: Sequence[str], begin: float) -> str:
    """Return what a machine's journal lacks, by its oldest entry, which is the first.

    Empty if it reaches back to `begin`.
    """
    oldest = next(entries(name, lines), None)  # journalctl may complain of a file before it
    if oldest is None or oldest.t <= begin + LATE_S:
        return ""
    return (
        f"journal of {name}: it begins {oldest.t - begin:.0f} s late; "
        "older lines had to make room (SystemMaxUse in its journald.conf)"
    )


def _ask(since: float, files: str = "") -> list[str]:
    """Return the command that shows the oldest entry of all, then every entry from `since` on."""
    journal = f"journalctl --no-pager --quiet -o json {files}"
    oldest = f"{journal} --output-fields=MESSAGE | head -n 1"
    asked = f"{journal} --output-fields={FIELDS} --since=@{int(since)}"
    return ["sh", "-c", f"{oldest}; {asked}"]


def _one(engine: Engine, node: NodeHandle, image: str, wall: float) -> tuple[list[str], str]:
    """Return a machine's oldest entry and those since `wall`, as lines; or why there are none."""
    try:
        state = engine.inspect(node.container)["State"]["Status"]
        if state == "running":
            result = node.run(_ask(wall), timeout_s=READ_S)
            return result.output.splitlines(), ""
        return _elsewhere(engine, node, image, wall), ""
    except LabError as error:
        return [], f"journal of {node.name}: {error.message}"


def _elsewhere(engine: Engine, node: NodeHandle, image: str, wall: float) -> list[str]:
    """Read the journal of a machine that is off or frozen from its disk.

    What it had in /run is lost.
    """
    files = unpack(engine.read(node.container, FOLDER))
    host = {"NetworkMode": "none"}
    helper = engine.create_helper(
        image, ["sleep", str(int(READ_S) * 2)], {LABEL: node.lab, **LABEL_HELPER}, host
    )
    try:
        engine.put(
            helper,
            [File(path=f"/journal/{name}", content=content) for name, content in files.items()],
        )
        engine.start(helper)
        result = engine.run(
            helper, _ask(wall, '$(printf -- "--file=%s " /journal/*)'), timeout_s=READ_S
        )
    finally:
        engine.remove_container(helper)
    if result.code != 0:
        raise EngineError(
            f"the journal on the disk of {node.name} cannot be read: {result.output[:200]}"
        )
    return result.output.splitlines()
