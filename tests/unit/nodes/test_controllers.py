"""The baseboard controllers' program without IPMI and engine: what a failed "off" leaves behind."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[3] / "images/bmc/files/usr/local/sbin/halab-bmc"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program, with doubles of pyghmi, which only its image has."""
    for name in ("pyghmi", "pyghmi.ipmi", "pyghmi.ipmi.private"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    bmc, session = ModuleType("pyghmi.ipmi.bmc"), ModuleType("pyghmi.ipmi.private.session")
    bmc.Bmc, session.Session = type("BmcDouble", (), {}), type("SessionDouble", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, bmc.__name__, bmc)
    monkeypatch.setitem(sys.modules, session.__name__, session)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("halab_bmc", str(PROGRAM))
    spec = importlib.util.spec_from_loader("halab_bmc", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def controller(program: Any, *, kill: int, paused: bool = False) -> tuple[Any, list[str]]:
    """Return a controller, and what it asks of an engine that answers a kill like this."""
    asked: list[str] = []
    labels = {"halab.lab": "x", "halab.node": "m"}
    state = {"Running": True, "Paused": paused}
    container = {"Id": "1", "Config": {"Labels": labels}, "State": state}

    class EngineDouble(program.Engine):
        def ask(self, method: str, path: str, body: Any = None, timeout: float = 0) -> Any:
            if path.endswith("/exec"):
                asked.append("dark" if "add table" in body["Cmd"][2] else "light")
                return 201, {"Id": "e"}
            if path.endswith("/kill"):
                asked.append("kill")
                return kill, b""
            if path.endswith("/start") and "/exec/" not in path:
                asked.append("start")
                return 304, b""
            return 200, b"" if method == "POST" else container

    made = object.__new__(program.Controller)
    made.engine, made.container, made.name = EngineDouble("x"), "halab-x-m", "m"
    return made, asked


@pytest.mark.parametrize(
    ("kill", "asked", "code"),
    [
        (204, ["dark", "kill"], 0),
        (409, ["dark", "kill"], 0),
        (500, ["dark", "kill", "light"], 0xFF),
    ],
)
def test_a_machine_that_could_not_be_killed_is_heard_again(
    program: Any, kill: int, asked: list[str], code: int
) -> None:
    made, said = controller(program, kill=kill)
    assert made.power_off() == code
    assert said == asked


def test_on_lifts_the_silence_of_one_that_runs(program: Any) -> None:
    made, said = controller(program, kill=204)
    assert made.power_on() == 0
    assert said == ["start", "light"]
    made, said = controller(program, kill=204, paused=True)
    assert made.power_on() == 0
    assert said == ["start"]


def test_what_a_command_printed_is_read_out_of_its_frames(program: Any) -> None:
    one = b"\x01\0\0\0" + (3).to_bytes(4, "big") + b"out"
    two = b"\x02\0\0\0" + (2).to_bytes(4, "big") + b"no"
    assert program.text(one + two) == "outno"
    assert program.text(b"") == program.text({}) == ""
