"""An export has what a bug report needs, has no secret, and goes on whatever does not answer."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_engine import FakeEngine

from lab.base.errors import EngineError, LabError
from lab.engine.labels import LABEL_NODE
from lab.kube.api import ApiError
from lab.live import export
from lab.live.lab import Lab
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.engine.commands import Result

TOPOLOGY = loader.load(Path(__file__).parents[3] / "topologies" / "1m1w.yaml").topology


class DeafEngine(FakeEngine):
    """An engine whose nodes do not answer: the master runs, the worker is off."""

    def run(self, container: str, argv: Sequence[str], **_: object) -> Result:
        raise EngineError(f"no answer of {container} to {argv[0]}")


def deaf_lab() -> Lab:
    engine = DeafEngine(about={"ServerVersion": "28.5.2", "SecretThing": "x"})
    for name, state in {"m": "running", "w1": "exited"}.items():
        engine.add(f"halab-1m1w-{name}", "1m1w", state, **{LABEL_NODE: name})
    return Lab(engine, TOPOLOGY)  # type: ignore[arg-type]


@pytest.fixture
def files() -> dict[str, bytes]:
    return export.collect(deaf_lab())


def test_export_goes_on_when_nothing_answers(files: dict[str, bytes]) -> None:
    problems = files[export.PROBLEMS].decode()
    assert "kubernetes/nodes.json: " in problems
    assert "nodes/m/journal.txt: " in problems
    assert json.loads(files["topology.json"])["name"] == TOPOLOGY.name
    assert json.loads(files["versions.json"])["engine"]["ServerVersion"] == "28.5.2"
    assert b"SecretThing" not in files["versions.json"]


class ApiDouble:
    """A double of the API that keeps what it was asked, and answers nodes alone with an error."""

    def __init__(self, error: LabError) -> None:
        self.asked: list[str] = []
        self.error = error

    def get(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        if path.endswith("/nodes"):
            raise self.error
        return {"items": [{"metadata": {"name": "x"}}]}


def exported(monkeypatch: pytest.MonkeyPatch, api: ApiDouble) -> dict[str, bytes]:
    monkeypatch.setattr(Lab, "cluster", lambda _: nullcontext(api))
    return export.collect(deaf_lab())


def test_export_asks_an_api_that_does_not_answer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    api = ApiDouble(LabError("the API does not answer: timed out"))
    files = exported(monkeypatch, api)
    assert api.asked == ["/api/v1/nodes"]
    problems = files[export.PROBLEMS].decode().splitlines()
    assert "kubernetes/nodes.json: the API does not answer: timed out" in problems
    (line,) = (line for line in problems if "not asked for" in line)
    assert all(name in line for name in export.OBJECTS if name != "nodes")


def test_export_goes_on_when_the_api_refuses_one_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = ApiDouble(ApiError(403, "nodes is forbidden"))
    files = exported(monkeypatch, api)
    assert len(api.asked) == len(export.OBJECTS)
    assert json.loads(files["kubernetes/pods.json"]) == [{"metadata": {"name": "x"}}]
    assert "not asked for" not in files[export.PROBLEMS].decode()


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
