"""`halab fault`: the list of faults, and durations on the command line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from halab_runner import halab

from lab.base.errors import InputError
from lab.chaos import faults
from lab.cli import fault
from lab.cli.fault import seconds
from lab.cli.main import cli
from lab.live.active_faults import ActiveFault


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 0.5), ("20s", 20), ("2m", 120), ("1.5s", 1.5)]
)
def test_hold_is_read_as_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "5 s", "1h"])
def test_hold_of_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="for example 500ms"):
        seconds(text)


def test_faults_are_listed_without_an_engine() -> None:
    known = json.loads(halab("fault", "list", "-o", "json").stdout)
    assert known["active"] == []
    assert {row["here"] for row in known["faults"]} == {None}
    lines = halab("fault", "list").stdout.splitlines()
    assert len(lines) == len(known["faults"]) + 1
    assert all(line.endswith("?") for line in lines[1:])


class LabDouble:
    """A double of a lab's faults: everything but one fault can be had, one is on."""

    def __init__(self, *_: object) -> None:
        self.lab = None

    def missing(self) -> dict[str, str]:
        return {name: "no netem" if name == "latency" else "" for name in faults.all_faults()}

    def active(self) -> tuple[ActiveFault, ...]:
        return (ActiveFault(id="1a", fault="hang", node="m", since=0.0),)


def test_list_says_what_a_lab_lacks_and_what_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault, "_chaos", LabDouble)
    done = CliRunner().invoke(cli, ["fault", "list"])
    (latency,) = (line for line in done.stdout.splitlines() if line.startswith("latency "))
    assert latency.endswith("no: no netem")
    assert "on: hang at m since " in done.stdout
    answer = json.loads(CliRunner().invoke(cli, ["fault", "list", "-o", "json"]).stdout)
    here = {row["name"]: (row["here"], row["not_here"]) for row in answer["faults"]}
    assert here["latency"] == (False, "no netem")
    assert here["hang"] == (True, "")
