"""Topology files as text, and what the loader finds wrong in a changed one."""

from __future__ import annotations

import pytest

from lab.base.errors import TopologyError
from lab.topology.loader import parse

TEXT = """version: 1
name: demo
network:
  subnet: 172.30.0.0/24
  vip: 172.30.0.50
kubernetes:
  distributions: [k3s, upstream]
  pod_cidr: 10.42.0.0/16
  service_cidr: 10.43.0.0/16
  cluster_dns: 10.43.0.99
  dns_forward: [9.9.9.9]
  node_monitor_grace: 20s
nodes:
  m: {role: master, ip: 172.30.0.49}
  w1: {role: worker, ip: 172.30.0.41}
ha:
  token: 1s
loadbalancer:
  ip: 172.30.0.40
  host_port: 6443
  name: lb
addons: [dns-ha]
"""
"""Every section, on lines of their own: `changed` replaces one."""
SHORT = """version: 1
name: demo
network: {subnet: 172.30.0.0/24, vip: 172.30.0.50}
nodes:
  m: {role: master, ip: 172.30.0.49}
loadbalancer: {ip: 172.30.0.40}
"""
"""Nothing that is not required; a section can follow."""


def problems(text: str, *sets: str, name: str = "") -> list[tuple[int, str, str]]:
    with pytest.raises(TopologyError) as caught:
        parse(text, "f.yaml", sets, name)
    return [(problem.line, problem.message, problem.hint) for problem in caught.value.problems]


def changed(old: str, new: str) -> str:
    assert TEXT.count(old) == 1, old
    return TEXT.replace(old, new)
