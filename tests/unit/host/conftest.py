"""A machine without anything to find."""

from __future__ import annotations

import pytest
from doctored import Machine

from lab.base.sizes import GIB
from lab.engine import about, client
from lab.host import capacity, network
from lab.host.capacity import Room
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
    room = Room(memory=16 * GIB, free_memory=12 * GIB, cpus=4, free_disk=100 * GIB, sure=True)
    look = capacity.look
    monkeypatch.setattr(
        capacity, "look", lambda *given, local: room if local else look(*given, local=False)
    )
    return made
