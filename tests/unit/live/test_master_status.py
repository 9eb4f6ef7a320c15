from __future__ import annotations

import pytest

from lab.live.master_status import etcd_part, holds_vip


@pytest.mark.parametrize(
    ("metrics", "part"),
    [
        ("etcd_server_has_leader 1\netcd_server_is_leader 1", "leader"),
        ("etcd_server_has_leader 1\netcd_server_is_leader 0", "follower"),
        ("etcd_server_has_leader 0\netcd_server_is_leader 0", "no leader"),
        ("", "-"),
    ],
)
def test_etcd_parts(metrics: str, part: str) -> None:
    assert etcd_part(metrics) == part


def test_the_vip_is_not_mistaken_for_a_longer_address() -> None:
    assert holds_vip("51: eth0 inet 172.30.0.50/32 scope global", "172.30.0.50")
    assert not holds_vip("51: eth0 inet 172.30.0.5/24 brd 172.30.0.255", "172.30.0.50")
