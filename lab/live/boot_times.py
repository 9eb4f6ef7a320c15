"""What each machine's systemd and journal say of its boot: when units ran up, who served when."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lab.base.errors import LabError
from lab.topology.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.engine.node import NodeHandle
    from lab.live.lab import Lab

UNITS = "Id,InactiveExitTimestamp,ActiveEnterTimestamp"
TIME = "%a %Y-%m-%d %H:%M:%S.%f UTC"
"""As `systemctl show --timestamp=us+utc` prints it (systemctl(1), since systemd 247)."""
SERVING = {
    "etcd serves": "ready to serve client requests",
    "API server serves": r"Serving securely on .*:644[34]\b",
}
"""What etcd (server/embed) and the API server (apiserver/pkg/server/secure_serving.go; K3s's stands
on 6444) write when they begin to serve. The schedulers' lines name other ports."""


class BootSpan(NamedTuple):
    """A part of a machine's boot, in POSIX times."""

    node: str
    name: str
    begin: float
    end: float


def read(lab: Lab, since: float) -> tuple[BootSpan, ...]:
    """Return what machines say of their boots since then; one that cannot be asked is left out."""
    nodes = [lab.node(node.name) for node in lab.topology.containers if node.role is not Role.BMC]
    with ThreadPoolExecutor(len(nodes)) as pool:
        answers = list(pool.map(partial(_ask, since), nodes))
    return tuple(span for spans in answers for span in spans)


def _ask(since: float, node: NodeHandle) -> list[BootSpan]:
    pattern = "|".join(SERVING.values())
    script = (
        f"systemctl show --timestamp=us+utc -p {UNITS} '*.service'; echo; "
        f"journalctl --no-pager -q -o short-unix --since=@{int(since)} -g '{pattern}'"
    )
    try:
        output = node.run(["sh", "-c", script], check=False).output
    except LabError:
        return []
    spans = (*units(node.name, output), *served(node.name, output))
    return [span for span in spans if span.begin >= since]


def units(node: str, output: str) -> Iterator[BootSpan]:
    """Return a span for each unit, from its first step until it is up."""
    for block in output.split("\n\n"):
        pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        times = [posix(pairs.get(name, "")) for name in UNITS.split(",")[1:]]
        begin, end = times
        if begin is not None and end is not None and "Id" in pairs:
            yield BootSpan(node, pairs["Id"].removesuffix(".service"), begin, end)


def served(node: str, output: str) -> Iterator[BootSpan]:
    """Return the moment at which each server first logged that it serves."""
    for name, pattern in SERVING.items():
        line = _first(output.splitlines(), pattern)
        stamp = re.match(r"(\d+\.\d+) ", line)
        if stamp:
            yield BootSpan(node, name, float(stamp[1]), float(stamp[1]))


def _first(lines: Iterable[str], pattern: str) -> str:
    return next((line for line in lines if re.search(pattern, line)), "")


def posix(text: str) -> float | None:
    """Return a time of systemctl as POSIX time; None for a unit that never ran."""
    try:
        return datetime.strptime(text, TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
