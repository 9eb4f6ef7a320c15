"""A state as lines of a screen, in one order. Pure.

Where there is little room, long lines end in an ellipsis, and the last ones are left out.
Symbols and words carry the meaning; each piece also names a style, which a terminal may colour.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from lab.watch.state import FAILED, OK, SLOW, STALE_S, UNSAMPLED
from lab.watch.strip_chart import CELL_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.watch.state import NodeState, Strip, TapeEntry, WatchState

LABEL, RIGHT = 13, 18
"""Columns of a strip's label, and of its outages."""
WINDOW_S = 60.0
"""A strip shows at least so much."""
FEWEST_CELLS = 10
TAPE_LINES = 3
SYMBOLS = {OK: "▁", SLOW: "▄", FAILED: "█", UNSAMPLED: " "}
ASCII = {OK: ".", SLOW: "o", FAILED: "#", UNSAMPLED: " "}
"""For terminals that are not UTF-8."""
STYLES = {OK: "good", SLOW: "slow", FAILED: "bad", UNSAMPLED: "dim"}
SHADE, NO_SHADE = "▒", " "
HEALTH_STYLES = {
    "healthy": "good",
    "degraded": "slow",
    "down": "bad",
    "stopped": "dim",
    "unknown": "dim",
}
KEYS = "q quit   p pause   ←/→ step through the tape"
TAPE_STYLES = {
    "fault": "slow",
    "outage": "bad",
    "answer": "good",
    "healed": "good",
    "fenced": "slow",
    "not-fenced": "bad",
}


@dataclass(slots=True)
class Line:
    """One line: pieces of text, each with the name of a style ("" for none)."""

    pieces: list[tuple[str, str]] = field(default_factory=list)

    def add(self, text: str, style: str = "") -> Line:
        """Append a piece."""
        if text:
            self.pieces.append((text, style))
        return self

    @property
    def text(self) -> str:
        """The whole line."""
        return "".join(text for text, _ in self.pieces)

    def fitted(self, width: int) -> Line:
        """Return it no longer than `width`; what was left out shows as an ellipsis."""
        if len(self.text) <= width:
            return self
        fitted, room = Line(), width - 1
        for text, style in self.pieces:
            fitted.add(text[:room], style)
            room -= len(text[:room])
        return fitted.add("…", "dim")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenSize:
    """A terminal's size and abilities."""

    width: int = 80
    height: int = 24
    unicode: bool = True

    @property
    def cells(self) -> int:
        """How many cells a strip has room for."""
        return max(FEWEST_CELLS, self.width - LABEL - RIGHT)

    @property
    def cell_s(self) -> float:
        """How long a cell lasts, seconds: strips show WINDOW_S at least."""
        each = -(-WINDOW_S // (self.cells * CELL_S))
        return max(1.0, each) * CELL_S


def lines(state: WatchState, size: ScreenSize, note: str = KEYS) -> list[Line]:
    """Return the lines of a screen, at most `size.height`; `note` is the last one."""
    head = [_head(state), *_strips(state, size), _outages(state)]
    masters = [_vip(state), _etcd(state), *_corosync(state)]
    nodes = _nodes(state, size.width)
    fixed = len(head) + len(masters) + 1
    room = max(0, size.height - fixed)
    # The tape keeps three lines where there is room; before it come machines in trouble.
    kept = min(TAPE_LINES, len(state.tape))
    shown = _first(nodes, max(1, room - kept))
    shown += _first(_pods(state), max(0, room - len(shown) - kept))
    shown += _problems(state, max(0, room - len(shown) - kept), size.width)
    tape = _tape(state, max(0, room - len(shown)))
    rows = [*head, *masters, *shown, *tape]
    rows = rows[: size.height - 1]
    return [line.fitted(size.width) for line in [*rows, Line().add(note, "dim")]]


def _first(rows: list[Line], count: int) -> list[Line]:
    """Return the first rows; the last one says how many more there are."""
    if len(rows) <= count:
        return rows
    if count <= 0:
        return []
    left = len(rows) - count + 1
    return [*rows[: count - 1], Line().add(" " * LABEL).add(f"… and {left} more lines", "dim")]


def _problems(state: WatchState, count: int, width: int) -> list[Line]:
    """Return as many problems as there is room for; the last line says how many more there are."""
    rows = [Line().add(f"{'?':<{LABEL}}").add(text, "slow") for text in state.problems[:count]]
    left = len(state.problems) - len(rows)
    if rows and left:
        more = f" and {left} more"
        rows[-1] = rows[-1].fitted(width - len(more)).add(more, "dim")
    return rows


def clock(state: WatchState, t: float) -> str:
    """Return a moment as people read it: the time of day, with milliseconds."""
    wall = state.wall - state.now + t
    return f"{time.strftime('%H:%M:%S', time.localtime(wall))}.{int(wall % 1 * 1000):03}"


def ago(state: WatchState, since: float | None) -> str:
    """Return for how long something is so: `for 12 s`."""
    return "" if since is None else f" for {seconds(max(0.0, state.now - since))}"


def seconds(value: float) -> str:
    """Return a duration as text: 2.3 s, 45 s, 4 min 12 s."""
    if value < 10:  # noqa: PLR2004 (tenths matter only while there are few seconds)
        return f"{value:.1f} s"
    if value < 100:  # noqa: PLR2004
        return f"{value:.0f} s"
    return f"{value // 60:.0f} min {int(value % 60)} s"


def _head(state: WatchState) -> Line:
    how = "" if state.source == "live" else " (replay)"
    line = Line().add(f"{state.lab}{how} ", "title").add(clock(state, state.now)[:10], "dim")
    line.add("  ").add(state.health.upper(), HEALTH_STYLES[state.health])
    return line.add(f"  {state.why}")


def _strips(state: WatchState, size: ScreenSize) -> Iterator[Line]:
    symbols = SYMBOLS if size.unicode else ASCII
    shaded = [_shaded(state, index) for index in range(size.cells)]
    if any(shaded):
        shade = SHADE if size.unicode else "x"
        names = ", ".join(
            dict.fromkeys(
                f"{fault.fault} {fault.node}" for fault in state.faults if fault.end is None
            )
        )
        bar = "".join(shade if each else NO_SHADE for each in shaded)
        yield Line().add(f"{'faults':<{LABEL}}").add(bar, "slow").add(f" {names or 'healed'}")
    for strip in state.strips:
        line = Line().add(f"{_short(strip.label):<{LABEL}}")
        cells = strip.cells[-size.cells :].rjust(size.cells, UNSAMPLED)
        for code, style, text in _runs(cells, shaded, symbols):
            del code
            line.add(text, style)
        yield line.add(" ").add(*_right(strip))


def _short(label: str) -> str:
    """Return a label that fits; one for each node keeps the node's name: `shop-ins….w1`."""
    name, dot, node = label.rpartition(".")
    end = f"…{dot}{node}"
    room = LABEL - 1 - len(end)
    if len(label) < LABEL or not name or room <= 0:
        return label[: LABEL - 1]
    return name[:room] + end


def _shaded(state: WatchState, index: int) -> bool:
    """Whether a fault was on in a cell."""
    begin = state.begin + index * state.cell_s
    end = begin + state.cell_s
    return any(
        fault.begin < end and (fault.end is None or fault.end > begin) for fault in state.faults
    )


def _runs(
    cells: str, shaded: list[bool], symbols: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Yield neighbouring cells of one style as one piece."""
    styles = [
        f"{STYLES[code]}{' shade' if on else ''}" for code, on in zip(cells, shaded, strict=True)
    ]
    marks = [0, *(at + 1 for at, (a, b) in enumerate(pairwise(styles)) if a != b), len(styles)]
    for begin, end in pairwise(marks):
        yield cells[begin], styles[begin], "".join(symbols[code] for code in cells[begin:end])


def _right(strip: Strip) -> tuple[str, str]:
    longest = f"max {strip.longest:.1f} s" if strip.longest > 0 else ""
    if strip.outage is not None:
        return f"OUT {strip.outage:.1f} s", "bad"
    return longest, "dim"


def _outages(state: WatchState) -> Line:
    strips = {strip.name: strip for strip in state.strips}
    line = Line().add(f"{'outage':<{LABEL}}")
    now = strips.get(state.outage)
    if now is not None:
        line.add(f"now {now.label} {now.outage or 0:.1f} s", "bad")
    elif _is_sampled(state):
        line.add("none now", "good")
    else:
        line.add("unknown: nobody samples", "dim")
    worst = strips.get(state.longest)
    if worst is not None:
        line.add(f"   longest {worst.label} {worst.longest:.1f} s (±{worst.interval:.2f} s)")
    return line


def _is_sampled(state: WatchState) -> bool:
    """Whether somebody sampled lately."""
    recent = int(STALE_S // state.cell_s) + 1
    return any(strip.cells[-recent:].strip(UNSAMPLED) for strip in state.strips)


def _vip(state: WatchState) -> Line:
    vip = state.vip
    line = Line().add(f"{'VIP':<{LABEL}}")
    since = ago(state, vip.since)
    if vip.holders is None:
        return line.add(f"nobody asks who has {vip.address}", "dim")
    if not vip.holders:
        line.add(f"NOBODY answers for {vip.address}{since}", "bad")
    elif len(vip.holders) > 1:
        line.add(f"{len(vip.holders)} HOLDERS of {vip.address}: ", "bad")
        line.add(f"{' and '.join(vip.holders)}{since}", "bad")
    else:
        line.add(vip.holders[0], "good").add(f" has {vip.address}{since}")
    return line.add(f", before: {' and '.join(vip.before)}" if vip.before else "", "dim")


def _etcd(state: WatchState) -> Line:
    etcd = state.etcd
    line = Line().add(f"{'etcd':<{LABEL}}")
    if etcd.quorum is None:
        return line.add("nobody asks its members", "dim")
    line.add(f"leader {etcd.leader}" if etcd.leader else "NO LEADER", "" if etcd.leader else "bad")
    line.add(f"   term {etcd.term}" if etcd.term is not None else "")
    line.add(f"{ago(state, etcd.since)}", "dim")
    line.add(f"   {etcd.answering}/{etcd.members} members   ")
    return line.add("quorum" if etcd.quorum else "NO QUORUM", "good" if etcd.quorum else "bad")


def _corosync(state: WatchState) -> Iterator[Line]:
    corosync = state.corosync
    line = Line().add(f"{'Corosync':<{LABEL}}")
    if not corosync.partitions:
        line.add("no master tells its members", "dim")
    for index, group in enumerate(corosync.partitions):
        line.add(" | " if index else "")
        has = group in corosync.quorate
        line.add(" ".join(group), "" if has else "bad").add(
            " quorate" if has else " NO QUORUM", "good" if has else "bad"
        )
    line.add(f"   DC {corosync.dc}" if corosync.dc else "").add(ago(state, corosync.since), "dim")
    yield line
    line = Line().add(f"{'fencing':<{LABEL}}")
    if corosync.fencing:
        line.add(f"CUTTING THE POWER of {', '.join(corosync.fencing)}   ", "bad")
    if corosync.last_fenced_at is not None:
        line.add(f"last {corosync.last_fenced}: {corosync.last_result or 'OK'} ")
        line.add(f"{seconds(max(0.0, state.now - corosync.last_fenced_at))} ago", "dim")
    elif not corosync.fencing:
        line.add("none seen", "dim")
    powers = [f"{node.name} {node.power}" for node in state.nodes if node.power not in {"", "on"}]
    if any(node.power for node in state.nodes):
        line.add("   power: ").add(", ".join(powers) or "all on", "slow" if powers else "")
    yield line


def _nodes(state: WatchState, width: int) -> list[Line]:
    bad = [node for node in state.nodes if not node.good and node.word != "unknown"]
    rows = [_trouble(node, width) for node in bad]
    good = [node for node in state.nodes if node.good]
    ready = [node.name for node in good if node.kubernetes or node.role == "loadbalancer"]
    if ready:
        rows.append(Line().add(f"{'Ready':<{LABEL}}").add(" ".join(ready), "good"))
    unsaid = [node.name for node in good if node.name not in ready]
    if unsaid:
        text = f"{' '.join(unsaid)}; Kubernetes tells nobody whether they are Ready"
        rows.append(Line().add(f"{'running':<{LABEL}}").add(text, "slow"))
    # Of a run that is over nobody can tell how the load balancer was.
    unasked = [node for node in state.nodes if node.word == "unknown" and not node.good]
    unknown = [node.name for node in unasked if state.source == "live" or node.role == "master"]
    if unknown:
        rows.append(Line().add(f"{'unknown':<{LABEL}}").add(" ".join(unknown), "dim"))
    return rows


def _trouble(node: NodeState, width: int) -> Line:
    line = Line().add(f"{node.name:<{LABEL}}").add(node.word, "bad")
    if node.not_ready_in is not None:
        line.add(f"; NotReady in ≤ {seconds(node.not_ready_in)}")
    if node.pods_move_in is not None:
        line.add(f", pods move in ≤ {seconds(node.pods_move_in)}")
    # The row of faults names them all; here they are a help where there is room.
    faults = f"; {', '.join(node.faults)}" if node.faults else ""
    return line.add(faults if len(line.text) + len(faults) <= width else "", "slow")


def _pods(state: WatchState) -> list[Line]:
    if not state.pods:
        return []
    names = [f"{pod.name}@{pod.node} {pod.state}" for pod in state.pods]
    text = f"{len(names)} in trouble: {', '.join(names)}"
    return [Line().add(f"{'pods':<{LABEL}}").add(text)]


def _tape(state: WatchState, count: int) -> list[Line]:
    if count <= 0:
        return []
    return [tape_line(state, entry) for entry in state.tape[-count:]]


def tape_line(state: WatchState, entry: TapeEntry) -> Line:
    """Return an entry of the tape: when, how long after the fault, what."""
    line = Line().add(f"{clock(state, entry.t)} ", "dim")
    fault = _fault_before(state.tape, entry)
    after = "" if fault is None else f"{entry.t - fault:+.2f}"
    return line.add(f"{after:>8} ").add(entry.text, TAPE_STYLES.get(entry.what, ""))


def _fault_before(tape: Iterable[TapeEntry], entry: TapeEntry) -> float | None:
    """Return when the last fault before an entry fired; None if none did."""
    times = [each.t for each in tape if each.what == "fault" and each.t <= entry.t]
    return times[-1] if times else None
