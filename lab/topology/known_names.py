"""The names that a topology file may use, kept below the plug-ins that implement them.

A unit test compares them with the folders lab/nodes/distributions and lab/addons/catalog.
"""

from __future__ import annotations

DISTRIBUTIONS = ("k3s", "upstream")
ADDONS = ("ceph", "dns-ha", "loadbalancer", "local-storage", "metrics-server", "prometheus")
REBOOT = "reboot"
NO_FENCING = "none"
FENCING = ("off-stays", REBOOT, NO_FENCING)
"""What happens to a lost master. The first is the default: a master that stays off can be looked
at. One that comes back while the cause of its loss lasts may be fenced again and again."""
