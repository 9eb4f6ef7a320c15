"""A watch from start to end: a replay as lines, as JSON, from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import histories
import pytest
from halab_runner import halab
from watched import at, fed, machine

from lab.analysis.history import events
from lab.base import paths
from lab.base.errors import InputError
from lab.cli import watch
from lab.topology import loader
from lab.watch.lab_shape import LabShape
from lab.watch.reducer import Reducer
from lab.watch.screen import ScreenSize
from lab.watch.source import Arrivals, Replay, heard, wall_of
from lab.watch.watching import Watching, changes, json_lines, plain_lines

if TYPE_CHECKING:
    from pathlib import Path

    from lab.analysis.history.events import Event

SIZE = ScreenSize()


@pytest.fixture
def run(tmp_path: Path) -> str:
    with (tmp_path / "history.jsonl").open("w", encoding="utf-8") as file:
        events.write(file, histories.good().events)
    return str(tmp_path)


def test_changes_are_told_and_time_alone_is_none() -> None:
    steady = [at(9.0), at(9.2), at(9.4), at(11.0), at(11.0)]
    assert [state.now for state in changes(iter(steady))] == [9.0, 11.0]
    assert json.loads(next(json_lines(iter(steady))))["health"] == "healthy"


def test_replay_gives_all_events_in_the_order_in_which_they_were_learnt() -> None:
    history = histories.good()
    replay = Replay(heard(history), speed=1e9)
    assert replay.now() == replay.events[-1].end
    rows = list(replay.due())
    assert len(rows) == len(history.events)
    assert [row.end for row in rows] == sorted(row.end for row in rows)
    assert replay.over
    assert list(replay.due()) == []
    assert wall_of(history) == 1763982000 + 365 * 86400
    assert wall_of(events.history([])) == 0.0


def test_watch_ends_after_its_time() -> None:
    watching = Watching(Replay(heard(histories.good()), 0.001), Reducer(LabShape("")), 0.0)
    assert len(list(watching.states(lambda: SIZE, 0.01))) == 1


NEVER_S = 3600.0
"""Between two frames, if nothing happens: what is told sooner was not waited for."""


def probed(t: float, *, ok: bool) -> Event:
    return histories.sample("api.vip.new", t, ok)


@pytest.mark.timeout(60)
def test_what_happens_is_told_at_once() -> None:
    arrivals = Arrivals()
    arrivals.put([probed(0.0, ok=True)])
    states = Watching(arrivals, fed()).states(lambda: SIZE, NEVER_S)
    assert next(states).strips[0].cells.strip("u") == "o"
    arrivals.put([probed(0.25, ok=True)])
    arrivals.put([probed(0.5, ok=False)])
    assert next(states).strips[0].cells.strip("u") == "f"
    arrivals.put([machine("m", "running"), machine("m", "exited")])
    assert [entry.text for entry in next(states).tape] == ["m is exited"]


@pytest.mark.timeout(60)
def test_a_watch_ends_at_once_when_it_is_told_while_much_happens() -> None:
    arrivals = Arrivals()
    watching = Watching(arrivals, fed())
    states = watching.states(lambda: SIZE, NEVER_S)
    next(states)
    watching.ended.set()
    assert list(states) == []


def test_rows_that_go_on_as_before_are_no_change() -> None:
    reducer = fed(*(probed(number / 4, ok=True) for number in range(8)))
    before = reducer.changes
    reducer.feed(probed(2.0, ok=True))
    assert reducer.changes == before
    reducer.feed(probed(2.25, ok=False))
    assert reducer.changes == before + 1
    reducer.feed(probed(2.5, ok=False))
    assert reducer.changes == before + 1
    reducer.feed(probed(2.75, ok=True))
    assert reducer.changes == before + 2


def test_health_is_a_line_when_it_changes() -> None:
    lines = list(plain_lines(iter([at(9.0), at(11.0), at(11.0)])))
    assert [
        line.partition("3m3w is ")[2].partition(":")[0] for line in lines if "3m3w" in line
    ] == [
        "healthy",
        "degraded",
    ]


def test_watch_prints_a_line_for_each_event(run: str) -> None:
    lines = halab("watch", "--replay", run, "--speed", "100").stdout.splitlines()
    text = "\n".join(lines)
    assert "fault crash on m" in text
    assert "m2 answers for the VIP" in text
    assert "3m3w is healthy" in text
    assert all(line[2] == ":" for line in lines)


def test_watch_prints_an_object_for_each_change(run: str) -> None:
    done = halab("watch", "--replay", run, "--speed", "100", "-o", "json")
    states = [json.loads(line) for line in done.stdout.splitlines()]
    assert states[-1]["vip"]["holders"] == ["m2"]
    assert states[-1]["source"] == "replay"
    assert [state["now"] for state in states] == sorted(state["now"] for state in states)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--for", "soon"), "no duration"),
        (("--for", "0s"), "no duration"),
        (("--for", "999999999m"), "no duration"),
        (("--speed", "2"), "--speed is a replay's"),
        (("--replay", "y", "--speed", "nan"), "no number"),
        (
            ("--replay", "y", "--export", "a", "--for", "2s", "-o", "json"),
            "without --web and --for",
        ),
        (("x", "--replay", "y"), "plays a run by itself"),
        (("--replay", "there/is/none"), "no run"),
    ],
)
def test_watch_refuses_bad_input(words: tuple[str, ...], said: str) -> None:
    assert said in halab("watch", *words, code=2).stderr


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        (("http://vip/",), "no name"),
        (("shop=http://vip/", "shop=http://vip:81/"), "two probes are named"),
        (("api=http://vip/",), "a probe of halab's own"),
    ],
)
def test_urls_have_names_of_their_own(urls: tuple[str, ...], said: str) -> None:
    topology = loader.load(paths.shipped("topologies") / "3m3w.yaml").topology
    with pytest.raises(InputError, match=said):
        watch._probes(urls, topology)
