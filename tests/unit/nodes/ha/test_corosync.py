from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab.nodes.ha import corosync

if TYPE_CHECKING:
    from lab.topology.model import Topology


def test_corosync_lists_all_masters(topology: Topology) -> None:
    text = corosync.corosync_conf(topology)
    assert re.findall(r"ring0_addr: (\S+)\n    name: (\S+)\n    nodeid: (\d)", text) == [
        ("172.30.0.49", "m", "1"),
        ("172.30.0.48", "m2", "2"),
        ("172.30.0.47", "m3", "3"),
    ]
    assert "token: 1000\n" in text
    assert "crypto_cipher: aes256" in text
