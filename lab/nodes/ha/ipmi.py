"""How masters and halab speak to the baseboard controllers: IPMI, its user and its password."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.kube.secrets import Secrets
    from lab.topology.model import Topology


IPMI_USER = "halab"


def ipmi_password(secrets: Secrets) -> str:
    """Return the password of the controllers' one user, random for each lab.

    It has sixteen characters; IPMI 2.0 takes twenty at most.
    """
    return hmac.new(secrets.files["corosync.authkey"], b"bmc", "sha256").hexdigest()[:16]


PASSWORD_FILE = "/etc/halab/bmc.password"  # noqa: S105 (a place)


def command(topology: Topology, node: str, *arguments: str) -> list[str]:
    """Return the ipmitool command for a node's controller, to be run in the controllers' container.

    `arguments` are ipmitool's own: `power`, `status`.
    """
    # The controllers have cipher suite 3; ipmitool 1.8.19 would try 17 first (its issue 363).
    protocol = ["-I", "lanplus", "-C", "3"]
    # A controller answers when it is done. On a slow host, starting a machine takes longer than the
    # five seconds after which ipmitool gives up by default (seen under emulation). A controller
    # waits for the engine four times as long.
    patience = ["-N", "5", "-R", "4"]
    target = ["-H", str(topology.bmc.ip), "-p", str(topology.ipmi_port(node))]
    login = ["-U", IPMI_USER, "-f", PASSWORD_FILE]
    return ["ipmitool", *protocol, *patience, *target, *login, *arguments]
