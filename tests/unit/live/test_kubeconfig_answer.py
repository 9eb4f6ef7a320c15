"""The administrator's kubeconfig, heard from the first master that tells it."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lab.live.kubeconfig_answer import KubeconfigAnswer

if TYPE_CHECKING:
    from pathlib import Path

TEXT = '{"kind":\n "Config"}'


def printed(answer: KubeconfigAnswer) -> bytes:
    """What a master prints, with its other answers."""
    done = subprocess.run(
        ["sh", "-c", f"{answer.script}; echo eth0"], capture_output=True, check=True
    )
    return done.stdout


@pytest.fixture
def answer(tmp_path: Path) -> KubeconfigAnswer:
    (tmp_path / "config").write_text(TEXT)
    return KubeconfigAnswer(str(tmp_path / "config"), 2)


def test_first_is_there_before_the_master_has_ended(answer: KubeconfigAnswer) -> None:
    with answer.listening() as hear:
        for byte in printed(answer):
            hear(bytes([byte]))
        assert answer.first() == TEXT


def test_first_waits_for_no_other_master(answer: KubeconfigAnswer) -> None:
    with answer.listening(), answer.listening() as hear:
        hear(printed(answer))
        assert answer.first() == TEXT, "the other one has not said anything yet"


def test_first_is_another_masters_where_one_has_no_file_or_cannot_be_asked(
    answer: KubeconfigAnswer,
) -> None:
    def fail() -> None:
        with answer.listening():
            raise OSError

    with pytest.raises(OSError):
        fail()
    with answer.listening() as hear:
        hear(printed(answer))
    assert answer.first() == TEXT


def test_first_is_empty_once_all_have_ended_without_it(tmp_path: Path) -> None:
    answer = KubeconfigAnswer(str(tmp_path / "gone"), 2)
    begun = threading.Event()

    def wait() -> str:
        begun.set()
        return answer.first()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(wait)
        assert begun.wait(60)
        with answer.listening() as hear:
            hear(printed(answer))
        assert not first.done(), "the second one may still tell it"
        with answer.listening() as hear:
            hear(b"half of admin-kube")
        assert first.result(60) == ""
