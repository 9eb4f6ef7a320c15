"""The screen: every row in its order, no line cut, at any size, without colour."""

from __future__ import annotations

import contextlib
import io
import threading
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import histories
import pytest
from watched import at, fed, machine, nodes, played

from lab.analysis.history.events import Event
from lab.watch import screen, terminal
from lab.watch.screen import ScreenSize
from lab.watch.source import Replay
from lab.watch.watching import Moments, Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.watch.reducer import Reducer
    from lab.watch.screen import Line
    from lab.watch.state import WatchState

ROWS = ("faults", "API by VIP", "API by LB", "write by VIP", "outage", "VIP", "etcd", "Corosync")
SIZES = [(80, 24), (200, 60), (60, 16)]


@cache
def crashed(until: float) -> Reducer:
    reducer = played(histories.good(), until)
    reducer.feed(machine("m", "exited", 10.05))
    return reducer


def shot(until: float, width: int, height: int, **more: bool) -> list[str]:
    size = ScreenSize(width=width, height=height, **more)
    state = crashed(until).view(until, size.cells, size.cell_s)
    return [line.text for line in screen.lines(state, size)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("until", [5.0, 11.0, 15.0, 29.0])
def test_screen_fits(width: int, height: int, until: float) -> None:
    lines = shot(until, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert lines[-1].startswith("q quit")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60)])
def test_rows_stand_in_their_order_and_none_is_cut(width: int, height: int) -> None:
    lines = shot(13.0, width, height)
    places = [
        next(n for n, line in enumerate(lines) if n and line.startswith(f"{row} ")) for row in ROWS
    ]
    assert places == sorted(places)
    assert [line for line in lines[1:] if line.endswith("…")] == []
    text = "\n".join(lines)
    assert "m            says Ready but is off; NotReady in ≤ 17 s, pods move in ≤ 47 s" in text
    assert "m2 has 172.30.0.50 for 1.6 s, before: m" in text
    assert "leader m3   term 3" in text
    assert "2/3 members   quorum" in text


def test_words_carry_what_colours_say() -> None:
    lines = "\n".join(shot(11.0, 80, 24))
    assert "NOBODY answers for 172.30.0.50" in lines
    assert "OUT 1.0 s" in lines
    assert "█" in lines
    plain = "\n".join(shot(11.0, 80, 24, unicode=False))
    assert "#" in plain
    assert "█" not in plain


def test_strip_shows_a_minute_at_least() -> None:
    for width, _ in SIZES:
        size = ScreenSize(width=width)
        assert size.cells * size.cell_s >= screen.WINDOW_S
        assert size.cell_s % 0.25 == 0
    assert ScreenSize(width=200).cell_s <= 0.5


def test_many_machines_in_trouble_leave_room_for_the_tape() -> None:
    reducer = played(histories.good(), 12.0)
    for name in ("m", "m2", "m3", "w1", "lb", "w2", "w3", "w4"):
        reducer.feed(nodes(12.0, **{name: "Ready"}))
        reducer.feed(machine(name, "exited", 12.0))
    size = ScreenSize(width=80, height=18)
    lines = [line.text for line in screen.lines(reducer.view(12.0, size.cells, size.cell_s), size)]
    assert len(lines) == 18
    assert any("more lines" in line for line in lines)
    assert len([line for line in lines if line[:2].isdigit()]) >= 3


PROBLEMS = ("engine", "probes on w1", "probes on w2", "node m3")
"""Each with a reason of 90 columns: longer than a terminal is wide."""


def with_problems(height: int, width: int = 80) -> list[str]:
    reducer = played(histories.good(), 13.0)
    for what in PROBLEMS:
        reducer.feed(Event(13.0, "problem", {"what": what, "text": "why " * 22}))
    size = ScreenSize(width=width, height=height)
    state = reducer.view(13.0, size.cells, size.cell_s)
    lines = [line.text for line in screen.lines(state, size)]
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    return [line for line in lines if line.startswith("? ")]


def test_all_problems_are_shown_where_there_is_room() -> None:
    lines = with_problems(40, 200)
    assert [line[screen.LABEL :].partition(":")[0] for line in lines] == list(PROBLEMS)
    assert [line for line in lines if "more" in line] == []


def test_the_last_problem_that_fits_says_how_many_more_there_are() -> None:
    everything = with_problems(24)
    assert [line[-1] for line in everything] == ["…"] * len(PROBLEMS)
    shown = [with_problems(height) for height in range(23, 10, -1)]
    cut = [lines for lines in shown if lines and len(lines) < len(PROBLEMS)]
    assert {len(lines) for lines in cut} == {1, 2, 3}
    for lines in cut:
        assert lines[-1].endswith(f"… and {len(PROBLEMS) - len(lines)} more")
        assert lines[:-1] == everything[: len(lines) - 1]


def test_rich_draws_the_same_text_and_no_colour_where_none_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    out = io.StringIO()
    size = ScreenSize(width=80, height=24)
    lines = screen.lines(at(11.0), size)
    terminal.console(out, width=80).print(terminal.drawn(lines))
    assert out.getvalue().splitlines() == [line.text for line in lines]


def test_durations_and_times_are_short() -> None:
    assert [screen.seconds(value) for value in (2.34, 45.2, 252.0, 299.7)] == [
        "2.3 s",
        "45 s",
        "4 min 12 s",
        "4 min 59 s",
    ]


def state_with(count: int) -> WatchState:
    reducer = fed()
    for number in range(count):
        reducer.feed(Event(5.0, "step", {"index": number, "text": "x", "state": "begin"}))
    return reducer.view(5.0)


def test_keys_pause_step_and_quit() -> None:
    moments, ended = Moments(), threading.Event()
    states = [state_with(count) for count in range(4)]
    for state in (*states, states[-1]):
        moments.keep(state)
    assert len(moments.kept) == 4
    newest = states[-1]
    assert moments.shown(newest) is newest
    terminal.press(terminal.LEFT, moments, ended)
    terminal.press(terminal.LEFT, moments, ended)
    assert moments.shown(newest).tape == states[2].tape
    assert "PAUSED at 3 of 4" in moments.note
    terminal.press(terminal.RIGHT, moments, ended)
    terminal.press(terminal.RIGHT, moments, ended)
    assert moments.shown(newest).tape == states[3].tape
    terminal.press("p", moments, ended)
    assert moments.note == screen.KEYS
    terminal.press("p", moments, ended)
    assert moments.at == 3
    assert not ended.is_set()
    terminal.press("q", moments, ended)
    assert ended.is_set()


def test_a_run_that_is_over_stays_on_the_screen_until_q(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    watching = Watching(Replay([machine("m", "running")], speed=1e9), fed())

    @contextlib.contextmanager
    def pressing(take: Callable[[str], None]) -> Iterator[bool]:
        def lines(*given: Any) -> list[Line]:
            """Draw; press a key after each frame."""
            drawn.append(given[-1])
            take({2: " ", 4: "q"}.get(len(drawn), "x"))
            return []

        monkeypatch.setattr(screen, "lines", lines)
        yield True

    monkeypatch.setattr(terminal, "keys", pressing)
    monkeypatch.setattr(terminal, "FRAME_S", 0.0)
    terminal.show(watching, terminal.console(io.StringIO(), width=80))
    assert len(drawn) == 5
    assert drawn[-1].startswith("the run is over   PAUSED at 1 of 1")


def test_a_run_that_is_over_ends_where_no_keys_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.sys, "stdin", None)
    watching = Watching(Replay([machine("m", "running")], speed=1e9), fed())
    terminal.show(watching, terminal.console(io.StringIO(), width=80))
    assert watching.source.over


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("shop.w1", "shop.w1 "),
        ("shop-inside.w1", "shop-ins….w1 "),
        ("orders-of-the-shop", "orders-of-th "),
        ("x.a-very-long-node", "x.a-very-lon "),
    ],
)
def test_a_long_label_keeps_its_node(label: str, shown: str) -> None:
    size = ScreenSize(width=80, height=24)
    state = crashed(13.0).view(13.0, size.cells, size.cell_s)
    named = replace(state, strips=(replace(state.strips[0], label=label),))
    assert any(line.text.startswith(shown) for line in screen.lines(named, size))
