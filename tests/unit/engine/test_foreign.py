"""What tests/engines decides without an engine.

Whether one can run here, how it is configured, and what is swept after it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import foreign
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def there(*lacking: str) -> Callable[[str], bool]:
    return lambda tool: Path(tool).name not in lacking


@pytest.mark.parametrize(
    ("platform", "uid", "tools", "reason"),
    [
        ("linux", 0, there(), ""),
        ("linux", 0, there("debootstrap", "nsenter"), "not here: debootstrap, nsenter"),
        ("linux", 1000, there(), "needs root"),
        ("darwin", 0, there(), "Linux only"),
    ],
)
def test_where_no_engine_can_run_the_reason_is_said(
    platform: str, uid: int, tools: Callable[[str], bool], reason: str
) -> None:
    said = foreign.lacking(platform, uid, tools)
    assert reason in said
    assert bool(said) == bool(reason)


def test_each_engine_has_a_place_of_its_own() -> None:
    made = [foreign.Foreign(kind) for kind in foreign.KINDS.values()]
    assert (
        len({engine.data for engine in made})
        == len({engine.socket for engine in made})
        == len(made)
    )
    for engine in made:
        configuration = engine.configuration()
        assert configuration["features"] == {
            "containerd-snapshotter": "containerd" in engine.kind.name
        }
        assert ("storage-driver" in configuration) == ("overlay2" in engine.kind.name)
        assert len(str(engine.socket)) < 108


def test_who_uses_an_engine_writes_into_no_home_but_the_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HALAB_SEED", "mine")
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    environment = foreign.Foreign(foreign.KINDS[foreign.SMALLEST]).environment(tmp_path)
    assert not {"HALAB_SEED", "DOCKER_CONTEXT"} & set(environment)
    assert {
        environment[name].startswith(str(tmp_path))
        for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")
    } == {True}
    assert environment["DOCKER_HOST"] == "unix:///run/halab-engine-28-containerd/docker.sock"


def test_cgroups_are_removed_from_their_leaves_up(tmp_path: Path) -> None:
    top = tmp_path / "halab-engine-x"
    (top / "container" / "system.slice" / "a.service").mkdir(parents=True)
    foreign.remove_cgroups(top)
    foreign.remove_cgroups(top)  # nothing there is fine
    assert list(tmp_path.iterdir()) == []


def test_a_cgroup_that_still_has_a_process_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "process").touch()  # as a folder of files: rmdir refuses
    with pytest.raises(OSError, match="not empty"):
        foreign.remove_cgroups(tmp_path / "top", wait_s=0)


def test_loop_devices_are_known_by_their_files_on_the_same_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "volume").mkdir()
    image = tmp_path / "volume" / "disk.img"
    image.touch()
    status = image.stat()
    disk = f"{foreign.os.major(status.st_dev)}:{foreign.os.minor(status.st_dev)}"
    rows = [
        {"name": "/dev/loop0", "back-ino": status.st_ino, "back-maj:min": f"     {disk}  "},
        {"name": "/dev/loop1", "back-ino": status.st_ino, "back-maj:min": "255:255"},
        {
            "name": "/dev/loop2",
            "back-ino": status.st_ino + 1_000_000,
            "back-maj:min": f"     {disk}  ",
        },
    ]
    answer = subprocess.CompletedProcess([], 0, stdout=json.dumps({"loopdevices": rows}))
    monkeypatch.setattr(foreign.subprocess, "run", lambda *_, **__: answer)
    assert foreign.loops(tmp_path) == ["/dev/loop0"]
    assert foreign.loops(tmp_path / "gone") == []


def test_a_lock_is_held_once_and_by_whoever_inherits_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(foreign, "cache", lambda: tmp_path)
    with foreign.locked("one", wait_s=0) as descriptor:
        with (
            pytest.raises(TimeoutError, match=r"another run holds .*one\.lock"),
            foreign.locked("one", wait_s=0),
        ):
            pass
        heir = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,)
        )
    with pytest.raises(TimeoutError), foreign.locked("one", wait_s=0):
        pass
    heir.communicate(b"\n")
    with foreign.locked("one", wait_s=0):
        pass
