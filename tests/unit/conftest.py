"""Unit tests touch neither an engine nor anybody's home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import docker
import pytest

from lab.base import locks
from lab.topology import loader

if TYPE_CHECKING:
    from lab.topology.model import Topology

SHIPPED = Path(__file__).parents[2] / "topologies"


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a unit test reached for the engine")

    monkeypatch.setattr(docker, "from_env", refuse)
    home = str(tmp_path_factory.mktemp("home"))
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, home)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(locks, "PLACES", ())


@pytest.fixture(scope="session")
def topology() -> Topology:
    """The reference installation."""
    return loader.load(SHIPPED / "3m3w.yaml").topology
