"""Where a machine is on a network: its IP address, and a MAC address that it keeps."""

from __future__ import annotations

from typing import Any

from docker.utils import version_gte

from lab.engine.spec import mac_of

KEEPS = "1.44"
"""The first API that takes a wish for a MAC address on a network (Docker 25)."""


def placed(version: str, ip: str) -> dict[str, Any]:
    """Return an endpoint's addresses, as docker's `EndpointConfig` names them.

    A machine has one MAC address for life, by which its neighbours and partitions know it. Docker
    28 and later draw a new one at each start where none was asked for; engines before that API
    take no wish, and give this very address.
    """
    mac = {"mac_address": mac_of(ip)} if version_gte(version, KEEPS) else {}
    return {"ipv4_address": ip, **mac}
