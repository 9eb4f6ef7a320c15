"""Draws a watch on a terminal, and takes its keys."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import sys
import threading
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.theme import Theme

from lab.watch import screen
from lab.watch.fault_keys import KEYS, FaultKeys
from lab.watch.screen import ScreenSize
from lab.watch.watching import FRAME_S, Moments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from lab.watch.fault_control import FaultControl
    from lab.watch.screen import Line
    from lab.watch.watching import Watching

STYLES = {
    "good": "green",
    "slow": "yellow",
    "bad": "bold red",
    "dim": "dim",
    "title": "bold",
    "good shade": "green on grey23",
    "slow shade": "yellow on grey23",
    "bad shade": "bold red on grey23",
    "dim shade": "on grey23",
}
LEFT, RIGHT = "\x1b[D", "\x1b[C"
"""What a terminal sends for the arrow keys (ECMA-48, CUB and CUF)."""
OVER = "the run is over   "
KEY_S = 0.2
"""Between two looks whether the watch is over."""


def console(file: TextIO | None = None, width: int | None = None) -> Console:
    """Return the terminal; rich leaves colours out where NO_COLOR is set."""
    return Console(theme=Theme(STYLES), file=file, width=width, highlight=False)


def drawn(lines: list[Line]) -> Text:
    """Return the lines of a screen as rich draws them."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for number, line in enumerate(lines):
        if number:
            text.append("\n")
        for piece, style in line.pieces:
            text.append(piece, style or None)
    return text


def show(watching: Watching, term: Console | None = None) -> None:
    """Draw the watch until somebody presses q or ^C, or its time is over.

    The end of a run is not the watch's where keys are read: its events can be stepped through.
    """
    term = term or console()
    moments = Moments()
    unicode = term.encoding.lower().startswith("utf")

    def size() -> ScreenSize:
        return ScreenSize(width=term.width, height=term.height, unicode=unicode)

    pressed: queue.SimpleQueue[str] = queue.SimpleQueue()
    faults = FaultKeys(watching.control) if watching.control else None
    try:
        with (
            Live(console=term, screen=term.is_terminal, auto_refresh=False) as live,
            keys(pressed.put) as read,
        ):
            for state in watching.states(size, FRAME_S, stay=read):
                moments.keep(state)
                press_all(pressed, moments, watching.ended, faults)
                note = _note(watching, moments, faults)
                lines = screen.lines(moments.shown(state), size(), note)
                live.update(drawn(lines), refresh=True)
    finally:
        if watching.control:
            leave(term, watching.control)


def _note(watching: Watching, moments: Moments, faults: FaultKeys | None) -> str:
    """Return the screen's last line."""
    if faults is None:
        return f"{OVER if watching.source.over else ''}{moments.note}"
    messages = [faults.control.message] if faults.control.message else []
    return faults.menu or "   ".join([*messages, KEYS, moments.note])


def leave(term: Console, control: FaultControl) -> None:
    """Wait for what is being done, and say what stays in the lab."""
    if control.busy:
        term.print(f"waiting for the end of this: {control.message}", markup=False)
        control.wait()
        term.print(control.message, markup=False)
    if control.left:
        heal = f"`halab fault heal {control.faults.lab.name}`"
        term.print(f"{', '.join(control.left)}: stays until {heal} heals it", markup=False)


def press_all(
    pressed: queue.SimpleQueue[str],
    moments: Moments,
    ended: threading.Event,
    faults: FaultKeys | None,
) -> None:
    """Do what the keys mean that came since the last frame."""
    with contextlib.suppress(queue.Empty):
        while True:
            key = pressed.get_nowait()
            if not faults or not faults.press(key):
                press(key, moments, ended)


def press(key: str, moments: Moments, ended: threading.Event) -> None:
    """Do what a key means; others mean nothing."""
    if key in {"q", "Q"}:
        ended.set()
    elif key in {"p", "P", " "}:
        moments.pause()
    elif key in {LEFT, RIGHT}:
        moments.step(-1 if key == LEFT else 1)


@contextlib.contextmanager
def keys(take: Callable[[str], None]) -> Iterator[bool]:
    """Read keys in a thread while the block runs; without a terminal there are none.

    Yield whether keys are read.
    """
    if not sys.stdin or not sys.stdin.isatty():
        yield False
        return
    try:
        import termios
        import tty
    except ImportError:  # no such terminals on this system
        yield False
        return
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    over = threading.Event()
    reader = threading.Thread(target=_read_keys, args=(handle, take, over), daemon=True)
    tty.setcbreak(handle)
    reader.start()
    try:
        yield True
    finally:
        over.set()
        reader.join(2 * KEY_S)
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def _read_keys(handle: int, take: Callable[[str], None], over: threading.Event) -> None:
    while not over.is_set():
        if select.select([handle], [], [], KEY_S)[0]:
            key = os.read(handle, 16).decode(errors="replace")
            if not key:
                return
            take(key)
