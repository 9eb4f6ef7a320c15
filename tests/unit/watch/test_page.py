"""What the script of the page shows, on a document that only remembers (see test_browser.py)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import watched

from lab.chaos import faults, targets
from lab.watch import page, web
from lab.watch.broadcast import Broadcast
from lab.watch.delta import PlainStates

if TYPE_CHECKING:
    from lab.watch.web import PageServer

PROGRAM = Path(__file__).parents[2] / "support" / "page_in_node.js"


def looks(file: Path, address: str, *keys: str) -> list[dict[str, Any]]:
    """Return what the page shows as it begins, and after each key."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js here")
    argv = [node, PROGRAM, file, address, *keys]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    file = tmp_path / "run.html"
    file.write_text(page.with_run(watched.recorded()), encoding="utf-8")
    return file


def test_replay_is_played_paused_and_stepped_through(exported: Path) -> None:
    rows = looks(exported, "", "wait", " ", "wait", "ArrowRight", "ArrowRight", "ArrowLeft", "b")
    begin, played, paused, still, first, second, back, big = rows
    assert begin["lab"] == "3m3w (replay)"
    assert "space pauses" in begin["playing"]
    assert played["facts"] != begin["facts"]
    assert paused["playing"] == "Paused"
    assert still == paused
    assert "step 1: crash @vip-holder" in first["tape"]
    assert len(second["tape"]) > len(first["tape"])
    assert back == first
    assert not back["big"]
    assert big["big"]


def test_page_shows_a_state_in_words(exported: Path) -> None:
    """All steps to the end of the run, where the crashed master is back."""
    rows = looks(exported, "", *["ArrowRight"] * 20)
    words = [word for row in rows for text in row.values() for word in str(text).split()]
    told = " ".join(words)
    for said in (
        "! DEGRADED",
        "API by VIP OUT",
        "✗ now API by VIP",
        "✗ NO QUORUM",
        "✗ NotReady",
        "✗ NOBODY answers for the VIP",
        "⚡ fault crash on m",
        "✂ fenced: m",
    ):
        assert said in told
    last = rows[-1]
    assert "✓ m2" in last["facts"]
    assert "etcd leader, term 2" in rows[0]["picture"]
    assert last["playing"] == "The run is over: space plays it again"


class ToldTwice(Broadcast):
    """Has a second state once the first one was read, and ends after that."""

    def after(self, version: int) -> tuple[int, bytes]:
        values = PlainStates()
        if version < 2:
            self.publish(values.of(watched.at((9.0, 11.0)[version])))
        else:
            self.close()
        return super().after(version)


def served(server: PageServer, tmp_path: Path) -> Path:
    """The page as the server has it."""
    file = tmp_path / "page.html"
    file.write_text(page.text(), encoding="utf-8")
    return file


def test_page_of_a_live_lab_takes_changes_and_says_that_it_ended(tmp_path: Path) -> None:
    with web.serving(ToldTwice()) as server:
        (shown, *_, back) = looks(
            served(server, tmp_path), server.address, " ", "ArrowLeft", "ArrowLeft"
        )
    assert shown["notice"] == "The watch has ended; this is the last that it saw."
    assert "DEGRADED" in shown["health"]
    assert "✗" in shown["picture"]
    assert shown["hash"] == ""
    assert "HEALTHY" in back["health"]
    assert back["playing"] == "Paused at event 1 of 2"


class DoubleControl:
    """A double of what breaks a lab: it is done at once."""

    message, busy, nodes = "", False, ("m", "m2")

    def inject(self, fault: str, target: str) -> bool:
        self.message = f"{fault} at {target}: it is"
        return True

    def heal(self) -> bool:
        self.message = "healed everything"
        return True


def test_page_with_a_control_injects_and_heals(tmp_path: Path) -> None:
    with web.serving(ToldTwice(), control=DoubleControl()) as server:  # type: ignore[arg-type]
        (_, injected, healed) = looks(served(server, tmp_path), server.address, "inject", "heal")
    # The first fault and the first target, as a browser chooses them.
    assert injected["said"] == f"{faults.names()[0]} at {targets.SELECTORS[0]}: it is"
    assert healed["said"] == "healed everything"


def test_page_without_its_token_says_so(tmp_path: Path) -> None:
    with web.serving(Broadcast()) as server:
        address = server.address.partition("#")[0]
        (shown,) = looks(served(server, tmp_path), f"{address}?big#token=old")
    assert "lacks its token" in shown["notice"]
    assert shown["big"]


def test_page_that_is_one_too_many_says_so(tmp_path: Path) -> None:
    with web.serving(Broadcast()) as server:
        for _ in range(web.READERS):
            assert server.places.acquire(blocking=False)
        (shown, later) = looks(served(server, tmp_path), server.address, "wait")
    assert shown["notice"] == "halab says: 64 pages listen already. Trying again …"
    assert later["notice"] == shown["notice"]
