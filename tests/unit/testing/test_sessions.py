"""Labs of test sessions: names and subnets never clash, and a killed session's lab is removed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import fake_labs
import pytest

from lab.base.errors import EngineError, LabError
from lab.base.progress import Silent
from lab.lifecycle import removal
from lab.testing import sessions
from lab.testing.spec import read

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
TOPOLOGY = read({"topology": "1m1w"}).load()
HOLDER = """
import sys
from lab.base import locks
from lab.testing.sessions import Claim
locks.PLACES = ()
claim = Claim.take("test-1m1w")
claim.record()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> fake_labs.FakeLabs:
    monkeypatch.setattr(sessions, "CHOICE_S", 0.5)
    return fake_labs.install(monkeypatch)


@pytest.fixture
def other() -> subprocess.Popen[str]:
    """Another process that holds the lab test-1m1w."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def claimed(engine: fake_labs.FakeLabs, name: str = "") -> tuple[str, str, sessions.Claim]:
    claim, settings = sessions.claim(engine, TOPOLOGY, name)  # type: ignore[arg-type]
    return claim.name, settings[0], claim


def test_claim_takes_names_that_nobody_has(engine: fake_labs.FakeLabs) -> None:
    first, second = claimed(engine), claimed(engine)
    # Which subnet that is, `start` decides when it makes the network.
    assert first[:2] == ("test-1m1w", "network.subnet=auto")
    assert second[:2] == ("test-1m1w-2", "network.subnet=auto")
    first[2].release()
    second[2].release()
    assert not fake_labs.leave_nothing()


def test_claim_takes_no_name_of_a_lab_that_exists(engine: fake_labs.FakeLabs) -> None:
    engine.add_network("halab-test-1m1w", "test-1m1w", topology="{}")
    assert claimed(engine)[0] == "test-1m1w-2"
    with pytest.raises(LabError, match="exists already"):
        claimed(engine, "test-1m1w")


def test_claim_respects_a_living_process(
    engine: fake_labs.FakeLabs, other: subprocess.Popen[str]
) -> None:
    assert claimed(engine)[0] == "test-1m1w-2"
    assert sessions.remove_abandoned(engine, Silent()) == ()  # type: ignore[arg-type]
    with pytest.raises(LabError, match="another test session"):
        claimed(engine, "test-1m1w")


def test_lab_of_a_killed_session_is_removed(
    engine: fake_labs.FakeLabs, other: subprocess.Popen[str]
) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert sessions.remove_abandoned(engine, Silent()) == ("test-1m1w",)  # type: ignore[arg-type]
    assert engine.log == ["destroy test-1m1w"]
    assert not fake_labs.leave_nothing()
    assert claimed(engine)[0] == "test-1m1w"


@pytest.mark.parametrize("turn", [False, True])
def test_lab_of_a_killed_session_stays_when_it_is_reused(
    engine: fake_labs.FakeLabs, other: subprocess.Popen[str], *, turn: bool
) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    # In a test the plug-in has taken its turn on the lab before it is started.
    with sessions.shared("test-1m1w") if turn else contextlib.nullcontext():
        sessions.remove_abandoned(engine, Silent(), keep="test-1m1w")  # type: ignore[arg-type]
    assert not engine.log
    # It is nobody's now: a later session does not remove it.
    assert sessions.remove_abandoned(engine, Silent()) == ()  # type: ignore[arg-type]


def test_lab_that_cannot_be_removed_is_tried_again(
    engine: fake_labs.FakeLabs,
    other: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise EngineError("in use")

        patch.setattr(removal, "destroy", refuse)
        assert sessions.remove_abandoned(engine, Silent()) == ()  # type: ignore[arg-type]
    assert sessions.remove_abandoned(engine, Silent()) == ("test-1m1w",)  # type: ignore[arg-type]


def test_workers_of_xdist_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw12")
    assert sessions.base_name("3m3w") == "test-3m3w-gw12"
    long = sessions.base_name("a-topology-with-a-long-name-30")
    assert len(f"{long}-99") <= 30
    assert long.endswith("-gw12")


def test_shared_lab_is_held_by_one_process_at_a_time(
    other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SHARED_S", 0.3)
    with pytest.raises(LabError, match="is free for a test"), sessions.shared("test-1m1w"):
        pytest.fail("it is held by another process")
    with sessions.shared("mine"), sessions.shared("mine"):
        assert sessions.Claim.take("mine") is None
    assert sessions.Claim.take("mine")


USER = """
import sys
from lab.base import locks
from lab.testing.sessions import shared
locks.PLACES = ()
with shared("test-1m1w", lambda text: print(text, flush=True)):
    print("has it", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def user_of_the_lab() -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the lab test-1m1w in its turn."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


WAITS = "lab test-1m1w is in use by another test session; waiting for it"


def test_lent_lab_is_anothers_until_the_block_ends(
    engine: fake_labs.FakeLabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SHARED_S", 0.5)
    name, _, claim = claimed(engine)
    with contextlib.ExitStack() as stack:
        with sessions.lent(name, claim):
            process = stack.enter_context(user_of_the_lab())
            assert line(process) == "has it"
            # A session that starts now must not take it for one that was left.
            assert sessions.remove_abandoned(engine, Silent()) == ()  # type: ignore[arg-type]
            process.communicate("")
        assert sessions._recorded() == [name]
        process = stack.enter_context(user_of_the_lab())
        assert line(process) == WAITS
        claim.release()
        assert line(process) == "has it"


def test_lab_of_a_turn_can_be_lent_too(engine: fake_labs.FakeLabs) -> None:
    del engine
    with (
        sessions.shared("test-1m1w"),
        sessions.lent("test-1m1w", None),
        user_of_the_lab() as process,
    ):
        assert line(process) == "has it"
        process.communicate("")
    with sessions.lent("of-nobody", None):
        pass
