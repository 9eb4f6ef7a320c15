from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from probed import TOPOLOGY

from lab.base.errors import InputError
from lab.measure.probe import SPACE
from lab.measure.target_service import agent_ip, remove
from lab.topology import loader

if TYPE_CHECKING:
    from lab.kube.api import KubeApi


def test_the_agents_address_is_nobodys() -> None:
    assert agent_ip(TOPOLOGY) == "172.30.0.239"
    crowded = replace(
        TOPOLOGY,
        network=replace(
            TOPOLOGY.network, vip=TOPOLOGY.network.subnet[239], gateway=TOPOLOGY.network.subnet[238]
        ),
    )
    assert agent_ip(crowded) == "172.30.0.237"


SMALL = """version: 1
name: p
network: {{subnet: 172.30.0.32/28, vip: 172.30.0.43, gateway: 172.30.0.33{pool}}}
nodes: {{m: {{role: master, ip: 172.30.0.34}}, w1: {{role: worker, ip: 172.30.0.35}}}}
loadbalancer: {{ip: 172.30.0.40}}
"""


def test_a_small_subnet_has_an_address_for_the_agent_or_says_that_it_has_none() -> None:
    small = loader.parse(SMALL.format(pool=""), "f")
    pool = [str(ip) for ip in small.topology.service_addresses]
    assert pool == ["172.30.0.44", "172.30.0.45", "172.30.0.46"]
    assert agent_ip(small.topology) == "172.30.0.42"
    full = loader.parse(SMALL.format(pool=", pool: 172.30.0.32/28"), "f")
    assert "no address for the instrument" in " ".join(each.message for each in full.warnings)
    assert not [each for each in small.warnings if "instrument" in each.message]
    with pytest.raises(InputError, match="no free address for the instrument"):
        agent_ip(full.topology)


def test_a_namespace_that_stays_says_why() -> None:
    message = "Some resources are remaining: configmaps. has 9 resource instances"
    condition = {"type": "NamespaceContentRemaining", "status": "True", "message": message}
    spaces = [
        [{"metadata": {"name": SPACE}, "status": {"conditions": [condition]}}],
        [{"metadata": {"name": SPACE}}],
        [],
    ]
    asked: list[str] = []
    told: list[str] = []

    class ClusterDouble:
        def get(self, path: str) -> dict[str, Any]:
            asked.append(path)
            return {
                "items": [
                    {"metadata": {"name": "default"}},
                    *(spaces[0] if len(asked) == 1 else spaces.pop(0)),
                ]
            }

        def request(self, verb: str, path: str, body: object) -> None:
            asked.append(f"{verb} {path} {body}")

    remove(cast("KubeApi", ClusterDouble()), told.append)
    assert [text for text in asked if text.startswith("DELETE")] == [
        f"DELETE /api/v1/namespaces/{SPACE} {{'propagationPolicy': 'Background'}}"
    ]
    assert told == [
        f"namespace {SPACE} is still there. {message}",
        f"namespace {SPACE} is still there",
    ]
