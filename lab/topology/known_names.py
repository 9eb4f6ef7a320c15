"""The words a topology file may use, kept below the plug-ins that give them meaning.

A unit test holds them against the folders lab/nodes/distributions and lab/addons/catalog.
"""

from __future__ import annotations

DISTRIBUTIONS = ("k3s", "upstream")
ADDONS = ("ceph", "dns-ha", "loadbalancer", "local-storage", "metrics-server", "prometheus")
REBOOT = "reboot"
NO_FENCING = "none"
FENCING = ("off-stays", REBOOT, NO_FENCING)
"""What becomes of a lost master. The first is the default: what was shot, and why, is to be seen;
a master that comes back into what it was lost by may be shot again, and again."""
