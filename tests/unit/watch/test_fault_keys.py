"""Faults by keys: what is chosen, what is done, and what is said of it."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import histories
import pytest
from watched import played

from lab.base import paths
from lab.base.errors import FaultError
from lab.chaos import lab_faults
from lab.live.active_faults import ActiveFault
from lab.topology import loader
from lab.watch import fault_control, fault_keys, terminal
from lab.watch.fault_control import FaultControl
from lab.watch.fault_keys import FaultKeys
from lab.watch.source import Replay
from lab.watch.watching import Moments, Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TOPOLOGY = loader.load(paths.shipped("topologies") / "3m3w.yaml").topology
LAB = SimpleNamespace(name="x", topology=TOPOLOGY)


class DoubleFaults:
    """A double of a lab's faults: the VIP's holder is m2, and the injection may fail or last."""

    lab = LAB

    def __init__(self) -> None:
        self.done: list[str] = []
        self.error = ""
        self.go_on = threading.Event()
        self.go_on.set()

    def targets(self, words: str, seed: int) -> tuple[str, ...]:
        assert 0 <= seed < fault_control.SEEDS
        return ("m2",) if words == "@vip-holder" else (words,)

    def inject(self, name: str, nodes: Iterable[str], options: dict[str, str]) -> list[Any]:
        assert options == {}
        assert self.go_on.wait(60)
        if self.error:
            raise FaultError(self.error)
        self.done += [f"{name} at {node}" for node in nodes]
        return [
            SimpleNamespace(active=ActiveFault(id="a", fault=name, node=node), evidence="it is")
            for node in nodes
        ]

    def heal(self, chosen: None) -> list[ActiveFault]:
        assert chosen is None
        healed = [ActiveFault(id="a", fault=each.split()[0], node="m2") for each in self.done]
        self.done.clear()
        return healed

    def rejoin(self, healed: list[ActiveFault], on_change: Callable[[str], None]) -> None:
        if healed:
            on_change("m2 does not count m among the members")


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> DoubleFaults:
    monkeypatch.setattr(fault_control, "Injector", lambda made: made)
    monkeypatch.setattr(fault_control, "Healer", lambda made: made)
    return DoubleFaults()


def made(faults: DoubleFaults) -> FaultKeys:
    return FaultKeys(FaultControl(faults))  # type: ignore[arg-type]


def pressed(keys: FaultKeys, *given: str) -> list[bool]:
    meant = [keys.press(key) for key in given]
    keys.control.wait()
    return meant


def test_two_digits_choose_a_fault_and_where(faults: DoubleFaults) -> None:
    keys = made(faults)
    assert keys.menu == ""
    pressed(keys, "f")
    assert keys.menu.startswith("fault: 1 crash 2 power-cut 3 hang")
    pressed(keys, "3")
    assert keys.menu.startswith("hang at: 1 @vip-holder 2 @leader 3 @random-worker 4 m 5 m2")
    assert pressed(keys, "1") == [True]
    assert (keys.menu, keys.control.message) == ("", "hang at m2: it is")
    assert keys.control.left == ("hang at m2",)
    pressed(keys, "h")
    assert (keys.control.message, keys.control.left) == ("healed hang at m2", ())
    pressed(keys, "h")
    assert keys.control.message == "no fault is on"


def test_the_menu_of_faults_fits_80_columns_and_all_of_them_exist(faults: DoubleFaults) -> None:
    keys = made(faults)
    pressed(keys, "f")
    assert len(keys.menu) <= 80
    assert [lab_faults.find(name).name for name in fault_keys.FAULTS] == list(fault_keys.FAULTS)


@pytest.mark.parametrize("key", ["\x1b", "q", "0", "9", "²", terminal.LEFT])
def test_any_other_key_closes_the_menu_and_nothing_is_done(faults: DoubleFaults, key: str) -> None:
    keys = made(faults)
    assert pressed(keys, "f", key) == [True, True]
    assert (keys.menu, keys.control.message, faults.done) == ("", "", [])
    assert pressed(keys, "q", "1", "p") == [False, False, False]


def test_a_fault_that_cannot_be_injected_says_why(faults: DoubleFaults) -> None:
    keys = made(faults)
    faults.error = "m2 is exited: crash needs a node that runs"
    pressed(keys, "f", "1", "1")
    assert (
        keys.control.message == "crash at @vip-holder: m2 is exited: crash needs a node that runs"
    )
    assert keys.control.left == ()


def test_a_bug_in_a_fault_is_said_and_the_next_one_may_begin(
    faults: DoubleFaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = made(faults)
    monkeypatch.setattr(faults, "inject", lambda *_: {}["evidence"])
    pressed(keys, "f", "1", "1")
    assert keys.control.message == "crash at @vip-holder: a bug: KeyError: 'evidence'"
    assert not keys.control.busy
    pressed(keys, "h")
    assert keys.control.message == "no fault is on"


def test_one_thing_is_done_at_a_time(faults: DoubleFaults) -> None:
    keys = made(faults)
    faults.go_on.clear()
    for key in "f11":
        keys.press(key)
    assert keys.control.busy
    assert keys.control.message == "crash at @vip-holder …"
    assert [keys.press(key) for key in "fh"] == [True, True]
    assert (keys.menu, keys.control.message) == ("", "crash at @vip-holder …")
    faults.go_on.set()
    keys.control.wait()
    assert faults.done == ["crash at m2"]


def test_what_stays_in_the_lab_is_said_at_the_end(faults: DoubleFaults) -> None:
    keys = made(faults)
    pressed(keys, "f", "1", "1")
    watching = Watching(
        Replay(histories.good().events, speed=100.0), played(histories.good(), 5.0), 0.0
    )
    watching.control = keys.control
    out = io.StringIO()
    terminal.show(watching, terminal.console(out, width=100))
    assert "crash at m2: it is   f fault   h heal" in out.getvalue()
    assert "crash at m2: stays until `halab fault heal x` heals it" in " ".join(
        out.getvalue().split()
    )


def test_keys_that_mean_no_fault_go_to_the_screen(faults: DoubleFaults) -> None:
    ended, queue = threading.Event(), terminal.queue.SimpleQueue()
    keys = made(faults)
    for key in "fq":  # q closes the menu only
        queue.put(key)
    terminal.press_all(queue, Moments(), ended, keys)
    assert not ended.is_set()
    queue.put("q")
    terminal.press_all(queue, Moments(), ended, keys)
    assert ended.is_set()
