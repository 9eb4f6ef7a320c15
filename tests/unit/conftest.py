"""Unit tests touch neither an engine, nor the network, nor anybody's home."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import docker
import pytest

from lab.base import locks, wait
from lab.topology import loader

if TYPE_CHECKING:
    from lab.topology.model import Topology

GETADDRINFO = socket.getaddrinfo
LOOPBACK = {"127.0.0.1", "::1", "localhost", "", None}
HOMES = itertools.count()
SHIPPED = Path(__file__).parents[2] / "topologies"


def _loopback_alone(host: Any, *more: Any, **others: Any) -> Any:
    if host not in LOOPBACK:
        raise AssertionError(f"a unit test reached for {host}")
    return GETADDRINFO(host, *more, **others)


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a unit test reached for the engine")

    monkeypatch.setattr(docker, "from_env", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", _loopback_alone)
    # Numbered here: pytest would read the whole folder for each test, to find the next number.
    home = str(tmp_path_factory.mktemp(f"home-{next(HOMES)}", numbered=False))
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, home)
    # pytest-xdist's: a test's lab is named after the worker, and would be after ours.
    for name in ("KUBECONFIG", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(locks, "PLACES", ())
    # What is awaited here is a double's doing, and there at the next look.
    monkeypatch.setattr(wait, "EVERY_S", 0.01)


@pytest.fixture(scope="session")
def topology() -> Topology:
    """The reference installation."""
    return loader.load(SHIPPED / "3m3w.yaml").topology
