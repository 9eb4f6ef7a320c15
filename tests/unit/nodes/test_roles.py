"""What the roles give to their nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from rendered import SECRETS, UPSTREAM, files

from lab.lifecycle.desired_state import desired
from lab.nodes.distributions import upstream
from lab.nodes.ha import cib

if TYPE_CHECKING:
    from lab.topology.model import Topology


def test_private_things_are_private_and_workers_hold_no_authority(topology: Topology) -> None:
    for name in ("m", "w1"):
        for file in files(topology, name).values():
            if b"PRIVATE KEY" in file.content or b"client-key-data" in file.content:
                assert file.mode == 0o600, file.path
    assert not {"/etc/kubernetes/ca.key", "/etc/kubernetes/sa.key", "/etc/etcd/etcd.key"} & set(
        files(topology, "w1")
    )


def test_every_unit_has_its_file_and_its_link(topology: Topology) -> None:
    for name, units in (
        ("m", (*upstream.NODE_UNITS, *upstream.MASTER_UNITS)),
        ("w1", upstream.NODE_UNITS),
    ):
        by_path = files(topology, name)
        for unit in units:
            assert b"ExecStart=" in by_path[f"/etc/systemd/system/{unit}.service"].content
            assert (
                by_path[f"/etc/systemd/system/multi-user.target.wants/{unit}.service"].link
                == f"/etc/systemd/system/{unit}.service"
            )


def test_only_masters_with_workers_are_tainted(topology: Topology) -> None:
    def taints(of: Topology, name: str) -> list[str]:
        return [
            row["effect"]
            for row in json.loads(files(of, name)["/etc/kubernetes/kubelet.yaml"].content)[
                "registerWithTaints"
            ]
        ]

    assert taints(topology, "m") == ["NoExecute"]
    assert taints(topology, "w1") == []
    assert taints(replace(topology, nodes=topology.masters), "m") == []


def test_machines_weigh_the_same_and_more_than_a_program_of_the_host(topology: Topology) -> None:
    """A master that boots may not keep workers' pods from the processors."""
    tags = dict.fromkeys(("upstream", "loadbalancer", "bmc"), "tag")
    containers = desired(topology, UPSTREAM, tags, 0).containers
    assert {spec.cpu_shares for spec in containers} == {4096}
    files = {file.path: file.content for file in cib.files(topology, SECRETS, UPSTREAM.health)}
    assert b"CPUWeight=10000" in files["/etc/systemd/system/corosync.service.d/halab.conf"]


def test_a_start_begins_no_programs_that_others_begin_too(topology: Topology) -> None:
    """Rules that kube-proxy makes, too, or that change nothing; and a program for each look."""
    for name in ("m", "w1"):
        own = files(topology, name)
        kubelet = json.loads(own["/etc/kubernetes/kubelet.yaml"].content)
        assert kubelet["makeIPTablesUtilChains"] is False
        flannel = own["/etc/systemd/system/flannel.service"].content
        assert b"--iptables-forward-rules=false" in flannel
        assert b"\nType=notify\n" in flannel
