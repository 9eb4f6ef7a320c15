"""When a lab is whole: one machine that is off is enough for it not to be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lab.live import steady_state

if TYPE_CHECKING:
    from lab.topology.model import Topology


@pytest.mark.parametrize(("bmc", "detail"), [("running", "steady"), ("exited", "bmc is exited")])
def test_a_lab_whose_bmcs_are_off_is_not_whole(
    topology: Topology, monkeypatch: pytest.MonkeyPatch, bmc: str, detail: str
) -> None:
    rest: dict[str, Any] = {"nodes": (), "faults": (), "problems": ()}
    now = SimpleNamespace(etcd_leader="m", vip_holders=("m",), bmc=bmc, **rest)
    monkeypatch.setattr(steady_state.status, "look", lambda _: now)
    seen = steady_state.steady(SimpleNamespace(topology=topology))  # type: ignore[arg-type]
    assert (seen.ok, seen.detail) == (bmc == "running", detail)
