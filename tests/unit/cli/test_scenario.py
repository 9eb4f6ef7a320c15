"""`halab scenario`: what comes with halab is listed and shown; runs are repeated until ^C."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from lab.base.progress import Silent
from lab.cli import scenario
from lab.scenarios import run as runs

if TYPE_CHECKING:
    import pytest

SHIPPED = Path(__file__).parents[3] / "topologies" / "scenarios"


def test_shipped_scenarios_are_listed_and_shown() -> None:
    rows = json.loads(CliRunner().invoke(scenario.scenario_command, ["list", "-o", "json"]).stdout)
    assert {row["name"] for row in rows} == {path.stem for path in SHIPPED.glob("*.yaml")}
    shown = CliRunner().invoke(scenario.scenario_command, ["show", "crash-vip-holder"])
    assert shown.stdout == (SHIPPED / "crash-vip-holder.yaml").read_text()


def repeated(monkeypatch: pytest.MonkeyPatch, seed: int | None, *errors: str) -> list[Any]:
    """Return the seeds of three runs, of which some end with an error."""
    seeds: list[Any] = []

    def run(_: object, __: object, own_seed: int | None, *___: object) -> SimpleNamespace:
        seeds.append(own_seed)
        error = dict(enumerate(errors)).get(len(seeds) - 1, "")
        return SimpleNamespace(error=error, outcome="pass", folder="x")

    monkeypatch.setattr(runs, "run", run)
    scenario._repeat(None, SimpleNamespace(name="x"), seed, 3, Silent())  # type: ignore[arg-type]
    return seeds


def test_every_repetition_has_a_seed_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert repeated(monkeypatch, 7, "no answer") == [7, 8, 9]
    assert repeated(monkeypatch, None) == [None, None, None]


def test_an_interrupted_run_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    assert repeated(monkeypatch, 7, "", scenario.INTERRUPTED) == [7, 8]
