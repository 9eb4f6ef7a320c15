"""The baseboard controllers as masters and halab speak to them: IPMI."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.kube.pki import Secrets
    from lab.topology.model import Topology


IPMI_USER = "halab"


def ipmi_password(secrets: Secrets) -> str:
    """Return the password of the baseboard controllers' one user: random for each lab, sixteen characters (IPMI 2.0 takes twenty at most)."""
    return hmac.new(secrets.files["corosync.authkey"], b"bmc", "sha256").hexdigest()[:16]


PASSWORD_FILE = "/etc/halab/bmc.password"  # noqa: S105 (a place)


def command(topology: Topology, node: str, *words: str) -> list[str]:
    """Return the command that speaks to a node's controller, as it is run in the controllers' container."""
    place = ["-H", str(topology.bmc.ip), "-p", str(topology.ipmi_port(node))]
    # Cipher suite 3 is what the controllers have; ipmitool 1.8.19 would try 17 first (its issue
    # 363). A controller answers when it is done: starting a machine takes a slow host longer than
    # the five seconds after which ipmitool gives up by default (seen under emulation); four times
    # five are what a controller waits for the engine.
    patience = ["-N", "5", "-R", "4"]
    return [
        "ipmitool",
        "-I",
        "lanplus",
        "-C",
        "3",
        *patience,
        *place,
        "-U",
        IPMI_USER,
        "-f",
        PASSWORD_FILE,
        *words,
    ]
