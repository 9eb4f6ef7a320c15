"""A machine without anything to find."""

from __future__ import annotations

import pytest
from doctored import Machine

from lab.base.sizes import GIB
from lab.engine import about, client
from lab.host import doctor, network
from lab.images import components


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A healthy Linux machine without any network but the engine's."""
    made = Machine()
    monkeypatch.setattr(client, "connect", lambda: made)
    monkeypatch.setattr(network, "routes", dict)
    monkeypatch.setattr(network, "free_port", lambda first: first)
    monkeypatch.setattr(components, "reachable", lambda _: True)
    monkeypatch.setattr(about, "startable", lambda: True)
    monkeypatch.setattr(doctor, "_available", lambda: 12 * GIB)
    return made
