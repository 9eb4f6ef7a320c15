from __future__ import annotations

from lab.measure.probes import vip


def test_addresses_become_nodes() -> None:
    assert vip.named(["02:42", "02:43"], {"02:42": "m"}) == ["m", "02:43"]
