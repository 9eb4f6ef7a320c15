from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from fake_engine import FakeEngine

from lab.base.errors import InputError
from lab.host import network

if TYPE_CHECKING:
    from lab.topology.model import Topology


def test_a_taken_port_gives_the_next() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert network.free_port(port) != port
    assert network.free_port(0) > 0


def test_check_subnets_names_a_free_one_when_the_subnet_is_in_use(topology: Topology) -> None:
    engine = FakeEngine()
    engine.add_network("other", subnet="172.30.0.0/16")
    with pytest.raises(
        InputError, match=r"meets 172\.30\.0\.0/16 \(Docker network other\)"
    ) as caught:
        network.check_subnets(topology, engine, ())  # type: ignore[arg-type]
    assert "free is 172." in caught.value.hint
