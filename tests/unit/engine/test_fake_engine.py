"""The double of the engine can be asked what the engine can be asked, and nothing else."""

from __future__ import annotations

import inspect

import pytest
from fake_engine import FakeContainer, FakeEngine

from lab.base.errors import EngineError, InUse, SubnetTaken
from lab.engine.client import Engine
from lab.engine.spec import ContainerSpec, NetworkSpec

SET_UP = {"add", "add_volume", "add_network", "add_lab", "running"}
"""What tests alone call."""
METHODS = {
    name: method
    for name, method in inspect.getmembers(FakeEngine, inspect.isfunction)
    if not name.startswith("_") and name not in SET_UP
}
SPEC = ContainerSpec(name="n", hostname="n", image="halab/x:1", network="x", ip="10.0.0.2")


@pytest.mark.parametrize("name", METHODS)
def test_fake_engine_takes_what_the_engine_takes(name: str) -> None:
    own, real = (inspect.signature(kind) for kind in (METHODS[name], getattr(Engine, name)))
    assert [str(each) for each in own.parameters.values()] == [
        str(each) for each in real.parameters.values()
    ]


@pytest.mark.parametrize(
    "name", ["inspect", "start", "stop", "kill", "pause", "unpause", "put", "read", "has", "run"]
)
def test_fake_engine_refuses_what_names_no_container(name: str) -> None:
    method = getattr(FakeEngine(), name)
    given = {"timeout_s": 1, "files": [], "path": "/x", "argv": ["true"]}
    wanted = inspect.signature(method).parameters
    values = {key: value for key, value in given.items() if key in wanted}
    with pytest.raises(EngineError, match="No such container"):
        method("none", **values)


def test_fake_engine_refuses_what_the_engine_refuses() -> None:
    engine = FakeEngine(tags={"halab/x:1"})
    with pytest.raises(EngineError, match="no such network"):
        engine.create_container(SPEC, {}, privileged=False)
    engine.create_network(NetworkSpec(name="x", subnet="10.0.0.0/24"), {})
    with pytest.raises(SubnetTaken):
        engine.create_network(NetworkSpec(name="y", subnet="10.0.0.0/16"), {})
    with pytest.raises(EngineError, match="already in use"):
        engine.create_container(SPEC, {}, privileged=False)
    with pytest.raises(EngineError, match="No such image"):
        engine.create_helper("other", ["true"], {})
    with pytest.raises(EngineError, match="not running"):
        engine.run("n", ["true"])
    engine.connect(SPEC)
    engine.start("n")
    with pytest.raises(InUse):
        engine.remove_network("x")
    engine.add_volume("v")
    engine.containers["m"] = FakeContainer(mounts={"v": "/v"})
    with pytest.raises(InUse):
        engine.remove_volume("v")
