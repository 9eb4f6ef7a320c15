"""The instrument and its agent, with doubles of both."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from probed import GROUND, TOPOLOGY
from spoken import listened

from lab.analysis.history import events as history
from lab.base.errors import EngineError, LabError, WaitTimeout
from lab.base.wait import Observation
from lab.measure import instruments as probing
from lab.measure import url_probe
from lab.measure.instruments import Instruments

if TYPE_CHECKING:
    from pathlib import Path


def test_instruments_ask_the_users_services_at_the_labs_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[Any] = []
    lab = SimpleNamespace(
        name="x", cluster=lambda: nullcontext(SimpleNamespace(apply=applied.extend))
    )
    shop = url_probe.spec("shop", "http://vip:30080/", TOPOLOGY)
    made = Instruments(cast("Any", lab), tmp_path, pace=2.0, more=(shop,))
    monkeypatch.setattr(Instruments, "_target", lambda *_: GROUND)
    monkeypatch.setattr(Instruments, "_listen", lambda _: None)
    monkeypatch.setattr(Instruments, "_sampled", lambda _: Observation(ok=True, detail=""))
    made._start(["api.vip"])
    assert {row.name for row in made._rows} == {"api.vip.new", "api.vip.kept", "shop"}
    (asked,) = (row for row in made._rows if row.name == "shop")
    assert asked.interval == 2 * shop.interval
    assert not applied  # no pod has anything to ask
    made._file.close()
    told = history.read(tmp_path / "history.jsonl").instruments()
    assert told["shop"].data["interval"] == asked.interval


class AgentDouble:
    """A double of the engine with one agent's container; without a `state` it is gone."""

    def __init__(self, **state: Any) -> None:
        self.state = state

    def stop(self, container: str, timeout_s: int) -> None:
        pass

    def inspect(self, container: str) -> dict[str, Any]:
        if not self.state:
            raise EngineError(f"no such container: {container}")
        return {"State": self.state}


STATS = json.dumps({"kind": "stats", "t": 2.0, "cpu": 0.1}).encode()


@pytest.mark.parametrize(
    ("state", "lines", "code", "told"),
    [
        ({"Running": False, "ExitCode": 0}, [STATS], 0, True),
        ({"Running": False, "ExitCode": 137}, [], 137, False),
        ({"Running": False, "ExitCode": 0}, [], 0, False),
        ({"Running": True, "ExitCode": 0}, [], None, False),
        ({}, [], None, False),
    ],
)
def test_how_the_agent_ended_is_in_the_history(
    tmp_path: Path,
    state: dict[str, Any],
    lines: list[bytes],
    code: int | None,
    told: bool,  # noqa: FBT001 (a value)
) -> None:
    lab = SimpleNamespace(engine=AgentDouble(**state))
    instruments = Instruments(lab, tmp_path)
    instruments._listener = listened((True, lines))[0]
    if told and code == 0:
        instruments._finish()
    else:
        with pytest.raises(LabError):
            instruments._finish()
    instruments._file.close()  # type: ignore[union-attr]
    ends = history.read(tmp_path / "history.jsonl").of("agent", state="end")
    assert [(event.get("code"), event.get("told")) for event in ends] == [(code, told)]


class OthersDouble(AgentDouble):
    """A double of the engine where another run's agent runs for some looks; keeps removals."""

    def __init__(self, looks: int, owner: str = "x") -> None:
        super().__init__()
        self.looks, self.lab, self.removed = looks, owner, list[str]()

    def labelled(self, label: str) -> tuple[list[str], list[str], list[str]]:
        return ["theirs"], [], []

    def owner(self, container: str) -> str:
        return self.lab

    def inspect(self, container: str) -> dict[str, Any]:
        self.looks -= 1
        return {"State": {"Running": self.looks >= 0}}

    def remove_container(self, container: str) -> None:
        self.removed.append(container)


def test_the_agent_of_a_run_that_goes_on_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "ALONE_S", 0.0)
    engine = OthersDouble(99)
    lab = SimpleNamespace(engine=engine, name="x", topology=TOPOLOGY)
    with pytest.raises(WaitTimeout, match="container theirs"):
        Instruments(lab, tmp_path).start()
    assert engine.removed == []


@pytest.mark.parametrize(("looks", "owner"), [(1, "x"), (99, "y")])
def test_the_agent_of_a_killed_run_is_awaited_and_another_labs_is_left(
    tmp_path: Path, looks: int, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = SimpleNamespace(engine=OthersDouble(looks, owner), name="x", topology=TOPOLOGY)
    started: list[str] = []
    monkeypatch.setattr(Instruments, "_clear", lambda _: started.append("clear"))
    monkeypatch.setattr(Instruments, "_start", lambda *_: started.append("start"))
    Instruments(lab, tmp_path).start()
    assert started == ["clear", "start"]
