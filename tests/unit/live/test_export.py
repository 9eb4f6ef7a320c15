"""An export has what a bug report needs, no secret, and goes on whatever does not answer."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path

import pytest

from lab.base.errors import EngineError, InputError
from lab.cli import export as command
from lab.engine.spec import Observed, ObservedContainer
from lab.live import export
from lab.live.lab import Lab
from lab.topology import loader

TOPOLOGY = loader.load(Path(__file__).parents[3] / "topologies" / "1m1w.yaml").topology


class EngineDouble:
    """A double of the engine: the master runs, the worker is off, the cluster is not reached."""

    about = {  # noqa: RUF012 (a double)
        "ServerVersion": "28.5.2",
        "SecretThing": "x",
    }

    def observe(self, lab: str) -> Observed:
        states = {"m": "running", "w1": "exited"}
        made = (
            ObservedContainer(
                id=name, name=f"halab-{lab}-{name}", state=state, labels={"halab.node": name}
            )
            for name, state in states.items()
        )
        return Observed(lab=lab, containers=tuple(made))

    def __getattr__(self, name: str) -> object:
        def refuse(*_: object, **__: object) -> None:
            raise EngineError(f"no answer to {name}")

        return refuse


@pytest.fixture
def files() -> dict[str, bytes]:
    return export.collect(Lab(EngineDouble(), TOPOLOGY))  # type: ignore[arg-type]


def test_export_goes_on_when_nothing_answers(files: dict[str, bytes]) -> None:
    problems = files[export.PROBLEMS].decode()
    assert "kubernetes/pods.json: " in problems
    assert "nodes/m/journal.txt: " in problems
    assert json.loads(files["topology.json"])["name"] == TOPOLOGY.name
    assert json.loads(files["versions.json"])["engine"]["ServerVersion"] == "28.5.2"
    assert b"SecretThing" not in files["versions.json"]


def test_export_says_what_does_not_run(files: dict[str, bytes]) -> None:
    assert files["nodes/w1/state.txt"] == b"exited\n"
    assert files["nodes/lb/state.txt"] == b"missing\n"


def test_export_asks_for_no_secrets_and_no_values() -> None:
    assert not {"secrets", "configmaps"} & {
        path.rsplit("/", 1)[-1] for path in export.OBJECTS.values()
    }
    pod = {
        "metadata": {"name": "x", "annotations": {"a": "b"}, "managedFields": []},
        "spec": {"containers": [{"name": "c", "env": [{"name": "P", "value": "hunter2"}]}]},
    }
    plain = export._plain(pod)
    assert plain["metadata"] == {"name": "x"}
    assert plain["spec"]["containers"][0] == {"name": "c", "env": [{"name": "P"}]}


def test_export_writes_a_folder_for_its_user_only(tmp_path: Path) -> None:
    command._write(tmp_path / "out", {"nodes/m/journal.txt": b"x"})
    path = tmp_path / "out/nodes/m/journal.txt"
    assert path.read_bytes() == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_export_writes_an_archive(tmp_path: Path) -> None:
    command._write(tmp_path / "bug.tar.gz", {"a/b.txt": b"x"})
    with tarfile.open(tmp_path / "bug.tar.gz") as archive:
        assert archive.getnames() == ["bug/a/b.txt"]


def test_export_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    (tmp_path / "a.tgz").touch()
    for place in ("full", "a.tgz", "full/x", "no/such/folder"):
        with pytest.raises(InputError):
            command._check(tmp_path / place)
    command._check(tmp_path / "new")
