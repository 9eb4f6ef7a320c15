"""A machine's addresses on a network: its IP address, and a MAC address that it keeps."""

from __future__ import annotations

from typing import Any

from docker.utils import version_gte

from lab.engine.spec import mac_of

MAC_ADDRESS_API = "1.44"
"""The first API that takes a MAC address for a network's endpoint (Docker 25)."""


def placed(version: str, ip: str) -> dict[str, Any]:
    """Return an endpoint's addresses, named as docker's `EndpointConfig` wants them.

    `version` is the API's. A machine has one MAC address for life, by which its neighbours and
    partitions know it. Docker 28 and later draw a new one at each start unless one is asked for.
    Engines before that API cannot be asked, and give this very address.
    """
    mac = {"mac_address": mac_of(ip)} if version_gte(version, MAC_ADDRESS_API) else {}
    return {"ipv4_address": ip, **mac}
