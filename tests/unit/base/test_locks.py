"""One command at a time changes a lab, whoever runs it; no name leads out of halab's folders."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from fake_engine import FakeEngine

from lab.base import locks, paths
from lab.base.errors import InputError, LabError
from lab.base.locks import Lock, exclusive
from lab.base.progress import Silent
from lab.cli import lifecycle
from lab.engine import client
from lab.kube import kubeconfig
from lab.lifecycle import removal

if TYPE_CHECKING:
    from collections.abc import Iterator


NOBODY = 65534


BAD = ["../../x", "/etc/x", "", ".", "a/b", "a.b", "A", "x\n", "x" * 31]


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder like /run/lock, which all users may enter."""
    if os.geteuid() != 0:
        pytest.skip("root alone can be two users")
    folder = Path(tempfile.mkdtemp())  # not tmp_path: pytest's folders are its user's alone
    folder.chmod(0o1777)
    monkeypatch.setattr(locks, "PLACES", (folder,))
    yield folder
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def taken_by_nobody() -> bool:
    """Whether another user gets the lock."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        lock = Lock("x")
        got = lock.acquire()
        lock.release()
    finally:
        os.seteuid(0)
        os.setegid(0)
    return got


def test_root_and_a_user_exclude_each_other(shared: Path) -> None:
    with exclusive("x", Silent()):
        assert not taken_by_nobody()
    assert taken_by_nobody()


def test_a_users_lock_is_roots_too(shared: Path) -> None:
    assert taken_by_nobody()  # its file is there now, and nobody's
    assert (shared / "halab-x.lock").stat().st_uid == NOBODY
    first, second = Lock("x"), Lock("x")
    assert first.acquire()
    assert not second.acquire()
    assert not taken_by_nobody()
    first.release()
    assert second.acquire()
    second.release()


def test_locks_of_another_kind_or_lab_are_others(shared: Path) -> None:
    held = [Lock("x"), Lock("x", "run"), Lock("x-run")]
    assert [lock.acquire() for lock in held] == [True, True, True]
    assert len({lock.path for lock in held}) == 3
    for lock in held:
        lock.release()
    del shared


def test_what_somebody_laid_there_leads_nowhere_and_keeps_nobody(
    shared: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    (shared / "halab-x.lock").symlink_to(target)
    with pytest.raises(LabError, match=r"cannot lock .*halab-x\.lock"):
        Lock("x").acquire()
    assert not target.exists()
    os.mkfifo(shared / "halab-y.lock")
    lock = Lock("y")
    assert lock.acquire()
    lock.release()


def test_who_waits_for_a_lab_that_is_destroyed_gets_a_lock_of_its_own() -> None:
    inside: list[str] = []

    def work(name: str) -> None:
        with exclusive("x", Silent()):
            assert not inside
            inside.append(name)
            inside.remove(name)

    with exclusive("x", Silent()) as lock:
        threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
        for thread in threads:
            thread.start()
        lock.forget()
        # The file is a new one. One of the threads may have it for a moment, and none waits for it.
        again, until = Lock("x"), time.monotonic() + 30
        while not again.acquire():
            assert time.monotonic() < until, "the lock of a lab that is gone is still held"
            time.sleep(0.01)
        again.release()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_a_folder_that_is_not_everybodys_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PLACES", (tmp_path / "none", tmp_path))
    assert locks.place() == paths.state()


@pytest.mark.parametrize("name", BAD)
def test_destroy_removes_nothing_when_the_name_is_no_labs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    paths.state()
    (tmp_path / "x.kubeconfig").write_text("mine")
    engine = FakeEngine()
    engine.add_volume("secrets", name)
    with pytest.raises(InputError, match="no lab has such a name"):
        removal.destroy(engine, name, Silent())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no lab has such a name"):
        kubeconfig.own_path(name)
    with pytest.raises(InputError), exclusive(name, Silent()):
        pass
    assert engine.volumes
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "state",
        "state/halab",
        "x.kubeconfig",
    ]


def test_destroy_all_leaves_what_is_there_when_it_bears_no_labs_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    double = FakeEngine()
    for name in ("../../x", "good"):
        double.add_volume(f"of {name}", name)
    monkeypatch.setattr(client, "connect", lambda: double)
    monkeypatch.setattr(removal, "SETTLE_S", 0)
    done = CliRunner().invoke(lifecycle.destroy_command, ["--all", "-o", "json"])
    assert isinstance(done.exception, LabError)
    assert "'../../x'" in str(done.exception)
    assert '"good": 1' in done.stdout
    assert list(double.volumes) == ["of ../../x"]


def test_the_second_holder_of_a_lock_says_so_and_waits() -> None:
    said: list[str] = []
    entered = threading.Event()

    class Told:
        def say(self, _: str, text: str) -> None:
            said.append(text)
            entered.set()

        def done(self, _: str, text: str) -> None:
            pass

    def second() -> None:
        with locks.exclusive("x", Told()):
            said.append("in")

    with locks.exclusive("x", Told()):
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(10)
        assert "in" not in said
    thread.join(10)
    assert said == ["another halab is working on this lab; waiting for it", "in"]


def test_a_second_run_in_a_lab_is_refused_and_told_of_the_first() -> None:
    with locks.alone("x", "scenario one"):
        with (
            pytest.raises(LabError, match=r"in lab x: scenario one \(process \d+\)"),
            locks.alone("x", "scenario two"),
        ):
            pytest.fail("two at once")
        with locks.alone("y", "scenario two"):
            pass
    with locks.alone("x", "scenario two"):
        pass
    assert [path.name for path in paths.state().iterdir() if path.suffix == ".run"] == []
