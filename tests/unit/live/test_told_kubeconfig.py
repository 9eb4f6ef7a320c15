"""The administrator's kubeconfig, heard from the first master that tells it."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lab.live.told_kubeconfig import ToldKubeconfig

if TYPE_CHECKING:
    from pathlib import Path

TEXT = '{"kind":\n "Config"}'


def printed(told: ToldKubeconfig) -> bytes:
    """What a master prints, with its other answers."""
    done = subprocess.run(
        ["sh", "-c", f"{told.script}; echo eth0"], capture_output=True, check=True
    )
    return done.stdout


@pytest.fixture
def told(tmp_path: Path) -> ToldKubeconfig:
    (tmp_path / "config").write_text(TEXT)
    return ToldKubeconfig(str(tmp_path / "config"), 2)


def test_first_is_there_before_the_master_has_ended(told: ToldKubeconfig) -> None:
    with told.listening() as hear:
        for byte in printed(told):
            hear(bytes([byte]))
        assert told.first() == TEXT


def test_first_waits_for_no_other_master(told: ToldKubeconfig) -> None:
    with told.listening(), told.listening() as hear:
        hear(printed(told))
        assert told.first() == TEXT, "the other one has not said anything yet"


def test_first_is_another_masters_where_one_has_no_file_or_cannot_be_asked(
    told: ToldKubeconfig,
) -> None:
    def fail() -> None:
        with told.listening():
            raise OSError

    with pytest.raises(OSError):
        fail()
    with told.listening() as hear:
        hear(printed(told))
    assert told.first() == TEXT


def test_first_is_empty_once_all_have_ended_without_it(tmp_path: Path) -> None:
    told = ToldKubeconfig(str(tmp_path / "gone"), 2)
    begun = threading.Event()

    def wait() -> str:
        begun.set()
        return told.first()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(wait)
        assert begun.wait(60)
        with told.listening() as hear:
            hear(printed(told))
        assert not first.done(), "the second one may still tell it"
        with told.listening() as hear:
            hear(b"half of admin-kube")
        assert first.result(60) == ""
