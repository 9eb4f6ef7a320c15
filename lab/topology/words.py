"""The words a topology file may use, kept below the plug-ins that give them meaning.

A unit test holds them against the folders lab/distributions and lab/addons.
"""

from __future__ import annotations

DISTRIBUTIONS = ("k3s", "upstream")
ADDONS = ("ceph", "dns-ha", "loadbalancer", "local-storage", "metrics-server", "prometheus")
