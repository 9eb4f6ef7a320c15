"""Rules across keys. Most are held by test_loader.py, with the texts of whole files."""

from __future__ import annotations

import pytest

from lab.base.errors import InputError
from lab.topology import loader

POOL = """version: 1
name: p
network: {{subnet: 172.30.0.0/24, vip: 172.30.0.50, pool: {pool}}}
nodes: {{m: {{role: master, ip: 172.30.0.49}}}}
loadbalancer: {{ip: 172.30.0.40}}
"""


def test_a_pool_is_judged() -> None:
    assert (
        str(loader.parse(POOL.format(pool="172.30.0.64/28"), "f").topology.network.pool)
        == "172.30.0.64/28"
    )
    for pool, words in (
        ("172.30.1.0/28", "is outside `network.subnet`"),
        ("172.30.0.50/31", ""),
        ("172.30.0.0/31", "has no address that is free"),
    ):
        if words:
            with pytest.raises(InputError, match=words):
                loader.parse(POOL.format(pool=pool), "f")
        else:
            assert len(loader.parse(POOL.format(pool=pool), "f").topology.service_addresses) == 1
