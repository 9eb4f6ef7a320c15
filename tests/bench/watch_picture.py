"""The watch as a picture that moves: ten seconds of a recorded run, as an SVG without scripts.

A row of the screen is drawn once for as long as it stays the same; CSS shows and hides it.
"""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from lab.analysis.history import events
from lab.watch import screen
from lab.watch.lab_shape import LabShape
from lab.watch.reducer import Reducer
from lab.watch.screen import ScreenSize
from lab.watch.source import heard, wall_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.analysis.history.events import History
    from lab.watch.screen import Line
    from lab.watch.state import WatchState

RECORDED = Path(__file__).parent / "recorded" / "crash-vip-holder.jsonl.gz"
"""A real run on two cores, cut to the half minute around the crash, without its operations."""
SIZE = ScreenSize(width=100, height=27, unicode=True)
FRAME_S = 0.5
FRAMES = 20
BEFORE_S = 1.0
"""It begins so long before the fault."""
STILL = 13
"""The frame that is shown where pictures do not move: the address has just moved."""
COLUMN, ROW = 8.4, 17
"""A character's cell, in pixels, at a font size of 14."""
EDGE = 10
COLOURS = {
    "": "#c9d1d9",
    "good": "#3fb950",
    "slow": "#d29922",
    "bad": "#ff7b72",
    "dim": "#8b949e",
    "title": "#ffffff",
}
BLOCKS = {"▁": 0.15, "▄": 0.5, "█": 0.85}
"""Of these a chart is made: how much of a row each fills. Fonts disagree about them."""
SHADE, SHADED = "▒", "#3d444d"
LEFT_OUT = {"op", "user_op", "watch", "trace", "connection"}
"""Kinds of events that the watch does not show."""
TITLE = "halab watch: the holder of the VIP crashes"
Pieces = tuple[tuple[str, str], ...]
STYLE = """
text { font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre; }
.title, .bad { font-weight: bold; }
.row { visibility: hidden; }
"""


class Row(NamedTuple):
    """A row of the screen, from one frame to another."""

    number: int
    begin: int
    end: int
    pieces: Pieces


def history(path: Path = RECORDED) -> History:
    """Return the run that was recorded."""
    text = gzip.decompress(path.read_bytes()).decode()
    return events.history(events.parse(text.splitlines(), path.name))


def cut(run: History) -> str:
    """Return what the picture needs of a run, as lines of a history."""
    begin = _begin(run)
    first, last = begin - SIZE.width, begin + FRAMES * FRAME_S
    needed = [
        event
        for event in run.events
        if event.kind not in LEFT_OUT and (event.end <= last or event.kind == "run")
        if event.t >= first
    ]
    return "".join(event.line() + "\n" for event in needed)


def states(run: History) -> Iterator[WatchState]:
    """Yield what the watch knew from shortly before the fault on."""
    learnt = heard(run)
    begin = _begin(run)
    reducer, fed = Reducer(LabShape(""), "replay", _wall(run)), 0
    for number in range(FRAMES):
        now = begin + number * FRAME_S
        while fed < len(learnt) and learnt[fed].end <= now:
            reducer.feed(learnt[fed])
            fed += 1
        yield reducer.view(now, SIZE.cells, SIZE.cell_s)


def _wall(run: History) -> float:
    """Return when the run began, so that a clock here shows UTC: the same picture everywhere."""
    wall = wall_of(run)
    offset = datetime.fromtimestamp(wall, UTC).astimezone().utcoffset()
    return wall - (offset.total_seconds() if offset else 0.0)


def _begin(run: History) -> float:
    return run.of("fault")[0].t - BEFORE_S


def rows(frames: Sequence[Sequence[Line]]) -> Iterator[Row]:
    """Yield each row of the screen once for as long as it stays the same."""
    for number in range(SIZE.height):
        shown = [_pieces(frame, number) for frame in frames]
        for pieces, same in groupby(enumerate(shown), key=lambda each: each[1]):
            indices = [index for index, _ in same]
            if pieces:
                yield Row(number, indices[0], indices[-1] + 1, pieces)


def _pieces(frame: Sequence[Line], number: int) -> Pieces:
    return tuple(frame[number].pieces) if number < len(frame) else ()


def svg(run: History) -> str:
    """Return the picture."""
    frames = [screen.lines(state, SIZE, "") for state in states(run)]
    drawn = [_row(row) for row in rows(frames)]
    width, height = round(SIZE.width * COLUMN + 2 * EDGE), SIZE.height * ROW + 2 * EDGE
    return "\n".join(
        (
            f'<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">',
            f"<title>{TITLE}</title>",
            f"<style>{STYLE}{_colours()}{_moves()}</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
            f'<g transform="translate({EDGE} {EDGE})">',
            *drawn,
            "</g>",
            "</svg>\n",
        )
    )


def _colours() -> str:
    return "\n".join(f".{name or 'plain'} {{ fill: {rgb}; }}" for name, rgb in COLOURS.items())


def _moves() -> str:
    """Return how rows come and go: a row that lasts n frames of all is shown so long, in a loop."""
    shown = (
        f"@keyframes for{count} {{ 0% {{ visibility: visible; }} "
        f"{100 * count / FRAMES:g}%, 100% {{ visibility: hidden; }} }}"
        for count in range(1, FRAMES)
    )
    still = (
        "@media (prefers-reduced-motion: reduce) "
        "{ .row { animation: none !important; } .still { visibility: visible; } }"
    )
    return "\n".join(("", *shown, still, ""))


def _row(row: Row) -> str:
    count, whole = row.end - row.begin, FRAMES * FRAME_S
    still = " still" if row.begin <= STILL < row.end else ""
    delay = f"{row.begin * FRAME_S:g}s"
    loop = f"for{count} {whole:g}s step-end {delay} infinite"
    style = "visibility: visible" if count == FRAMES else f"animation: {loop}"
    return f'<g class="row{still}" style="{style}">{_drawn(row)}</g>'


def _drawn(row: Row) -> str:
    """Return a row's pieces: characters of charts as rectangles, the rest as text."""
    parts, column = [], 0
    for text, style in row.pieces:
        for kind, run in groupby(text, key=_kind):
            characters = "".join(run)
            parts.append(_part(characters, kind, style, column, row.number * ROW))
            column += len(characters)
    return "".join(parts)


def _kind(character: str) -> str:
    return character if character in BLOCKS or character == SHADE else ""


def _part(text: str, kind: str, style: str, column: int, top: int) -> str:
    name, _, shade = style.partition(" ")
    left, width = column * COLUMN, len(text) * COLUMN
    behind = _box(left, top, width, ROW, SHADED) if shade or kind == SHADE else ""
    if kind in BLOCKS:
        fill = BLOCKS[kind] * ROW
        return behind + _box(left, top + ROW - 1 - fill, width, fill, COLOURS[name])
    if kind == SHADE or not text.strip():
        return behind
    start = len(text) - len(text.lstrip())
    words = text.strip()
    place = f'x="{left + start * COLUMN:.1f}" y="{top + ROW - 4}"'
    length = f'textLength="{len(words) * COLUMN:.1f}"'
    return f'{behind}<text class="{name or "plain"}" {place} {length}>{escape(words)}</text>'


def _box(left: float, top: float, width: float, height: float, colour: str) -> str:
    size = f'width="{width:.1f}" height="{height:.1f}"'
    return f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{colour}"/>'
