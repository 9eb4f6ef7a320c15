"""Where the administrator's credentials are read: on a master that runs, else from its disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from fake_engine import FakeEngine

from lab.engine.commands import Result
from lab.engine.files import File
from lab.kube.secrets import Pair
from lab.live.access import Credentials
from lab.live.lab import Lab
from lab.nodes import distributions
from lab.nodes.distributions.upstream import component_kubeconfig

if TYPE_CHECKING:
    from lab.engine.client import Engine
    from lab.topology.model import Topology

OWN = Credentials(b"authority", Pair(b"key", b"certificate"))
TEXT = component_kubeconfig(OWN.authority, "https://127.0.0.1:6443", OWN.admin)
UPSTREAM = distributions.find("upstream")


@pytest.mark.parametrize("state", ["running", "exited"])
def test_credentials_are_those_of_a_masters_kubeconfig(topology: Topology, state: str) -> None:
    engine, name = FakeEngine(), topology.name
    master, balancer = f"halab-{name}-m", f"halab-{name}-lb"
    engine.add(master, lab=name, state=state)
    engine.add(balancer, lab=name)
    engine.containers[balancer].ports = {6443: 6443}
    path = UPSTREAM.admin_kubeconfig
    if state == "running":
        engine.answers = {f"{master}: cat {path}": Result(0, TEXT.decode())}
    else:
        engine.containers[master].files[path] = File(path=path, content=TEXT)
    lab = Lab(cast("Engine", engine), topology)
    assert lab.access(UPSTREAM).credentials == OWN
