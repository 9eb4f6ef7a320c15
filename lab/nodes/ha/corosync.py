"""Corosync's configuration: nodes, token, quorum. Pure text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.topology.model import Topology


def corosync_conf(topology: Topology) -> str:
    """Render corosync.conf(5): encrypted knet between nodes that are known by name, id and address.

    Addresses, because at boot no name can be resolved.
    """
    nodes = "\n".join(
        f"  node {{\n    ring0_addr: {node.ip}\n    name: {node.name}\n    nodeid: {number}\n  }}"
        for number, node in enumerate(topology.masters, 1)
    )
    return f"""totem {{
  version: 2
  cluster_name: {topology.name}
  transport: knet
  crypto_cipher: aes256
  crypto_hash: sha256
  # How long a silent node is believed in. \
The coefficient would add 650 ms for each node beyond two.
  token: {topology.ha.token_ms}
  token_coefficient: 0
}}
nodelist {{
{nodes}
}}
quorum {{
  provider: corosync_votequorum
}}
logging {{
  to_syslog: yes
  to_stderr: no
}}
system {{
  # Real time where the kernel gives it, niceness -20 elsewhere (lab/nodes/ha/realtime.py).
  # Not by way of the root cgroup: the journal would lose the unit's name.
  sched_rr: yes
  move_to_root_cgroup: no
  # The engine may forbid to force socket buffers; corosync's own are then used.
  allow_knet_handle_fallback: yes
}}
"""
