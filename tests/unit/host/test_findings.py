from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.base.sizes import GIB
from lab.host import findings

if TYPE_CHECKING:
    from lab.topology.model import Topology


@pytest.mark.parametrize(
    ("total", "free", "state"), [(16, 8, "ok"), (16, 1, "warning"), (1, 1, "failed")]
)
def test_memory_is_judged_against_the_topology(
    topology: Topology, total: int, free: int, state: str
) -> None:
    finding = findings.memory(total * GIB, free * GIB, topology)
    assert finding.state == state
    assert bool(finding.remedy) == (state != "ok")


@pytest.mark.parametrize(("api", "state"), [("1.40", "failed"), ("1.41", "ok"), ("1.50", "ok")])
def test_old_engines_are_refused(api: str, state: str) -> None:
    assert findings.version({"ApiVersion": api, "ServerVersion": "x"}).state == state
