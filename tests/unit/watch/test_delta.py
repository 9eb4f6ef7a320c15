"""Changes of states: what they say, and that a page makes the same states of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import watched

from lab.watch import page, recording
from lab.watch.delta import SAME, PlainStates, difference, plain
from lab.watch.lab_shape import LabShape
from lab.watch.reducer import Reducer
from lab.watch.source import heard, wall_of

PATCH = re.compile(r"^function patch\(.*?^}$", re.DOTALL | re.MULTILINE)


def patched(old: Any, change: Any) -> Any:
    """What page.html does with a change."""
    if not isinstance(change, dict):
        return change
    if "=" in change:
        return change["="]
    if "+" in change:
        drop, keep, tail = change["+"]
        return old[drop : drop + keep] + tail
    made = old.copy()
    for key, each in change.items():
        at = int(key) if isinstance(old, list) else key
        made[at] = patched(old[at], each)
    return made


def last_state() -> Any:
    """The last state of the run, as a reducer that heard all of it has it."""
    end = max(event.end for event in watched.good().events)
    reducer = Reducer(LabShape(""), "replay", wall_of(watched.good()))
    for event in heard(watched.good()):
        reducer.feed(event)
    return PlainStates().of(reducer.view(end))


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (1, 2, 2),
        (None, {"a": 1}, {"=": {"a": 1}}),
        ({"a": 1}, None, None),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}),
        ({"a": 1}, {"b": 1}, {"=": {"b": 1}}),
        (["m"], ["m2"], {"0": "m2"}),
        (["m"], [], {"+": [0, 0, []]}),
        (["a", "b"], ["a", "b", "c"], {"+": [0, 2, ["c"]]}),
        (["a", "b", "c"], ["b", "c", "d"], {"+": [1, 2, ["d"]]}),
        ("o" * 40 + "s", "o" * 39 + "sf", {"+": [1, 40, "f"]}),
        ("short", "words", "words"),
        ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 3}], {"1": {"a": 3}}),
    ],
)
def test_change_says_no_more_than_it_must(old: Any, new: Any, change: Any) -> None:
    assert difference(old, new) == change
    assert patched(old, change) == new


def test_no_change_is_told_apart_from_a_change_to_nothing() -> None:
    assert difference({"a": [1]}, {"a": [1]}) is SAME
    assert difference(1, None) is None


def test_plain_states_are_those_of_as_json() -> None:
    values = PlainStates()
    for t in (9.0, 11.0, 11.0, 20.0):
        state = watched.at(t)
        assert values.of(state) == plain(state.as_json())
    assert plain(1.23456) == 1.235
    assert plain((True, None)) == [True, None]


def test_recording_has_all_of_a_run_and_is_small() -> None:
    run = watched.recorded()
    state = run["frames"][0]
    for frame in run["frames"][1:]:
        state = patched(state, frame)
    assert state == last_state()
    assert len(json.dumps(run)) < 30 * len(json.dumps(state))


def test_recording_has_many_states_while_something_happens_and_few_otherwise() -> None:
    times = list(recording.moments([0.0, 0.3, 0.4, 100.1]))
    assert times[:2] == [0.25, 0.5]
    assert times[-1] == 100.1
    assert len(times) == 2 + 19 + 1
    assert list(recording.moments([])) == [0.0]
    long = list(recording.moments([second / 4 for second in range(4 * 3600)]))
    assert len(long) <= recording.FRAMES
    assert long[-1] == 3599.75


def test_page_makes_the_same_states(tmp_path: Any) -> None:
    """The page's half of a change, where there is a JavaScript engine to ask."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js here")
    run = watched.recorded()
    (match,) = PATCH.findall(page.text())
    program = tmp_path / "patch.js"
    program.write_text(
        f"{match}\nconst frames = {json.dumps(run['frames'])};\n"
        "console.log(JSON.stringify(frames.slice(1).reduce(patch, frames[0])));\n"
    )
    done = subprocess.run([node, program], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == last_state()
