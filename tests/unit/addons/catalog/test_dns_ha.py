from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn, cast

import pytest
from rendered import SECRETS

from lab.addons.addon import AddonContext
from lab.addons.catalog import dns_ha
from lab.addons.catalog import find as find_addon
from lab.nodes import distributions

if TYPE_CHECKING:
    from lab.kube.api import KubeApi
    from lab.topology.model import Topology


@dataclass(frozen=True)
class VersionDouble:
    """A double of a cluster that says its version and nothing else."""

    says: str

    def release(self) -> str:
        return self.says


def site(
    topology: Topology, distribution: str = "upstream", release: str = "v1.36.3"
) -> AddonContext:
    """A site that renders only: its cluster can be asked for nothing but its version."""

    def nowhere(name: str) -> NoReturn:
        raise AssertionError(f"rendering asked for node {name}")

    cluster = cast("KubeApi", VersionDouble(release))
    return AddonContext(topology, distributions.find(distribution), cluster, nowhere, SECRETS)


def test_dns_replicas_are_kept_apart(topology: Topology) -> None:
    objects = {item["kind"]: item for item in find_addon("dns-ha").manifests(site(topology))}
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert objects["Deployment"]["spec"]["replicas"] == 3
    assert (
        pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0][
            "topologyKey"
        ]
        == "kubernetes.io/hostname"
    )
    assert objects["Service"]["spec"]["clusterIP"] == "10.43.0.99"
    assert objects["PodDisruptionBudget"]["spec"]["minAvailable"] == 2
    assert dns_ha.replicas(replace(topology, nodes=topology.nodes[:2])) == 2


def test_each_node_asks_a_dns_of_its_own(topology: Topology) -> None:
    objects = {item["kind"]: item for item in find_addon("dns-ha").manifests(site(topology))}
    service, own, apart = objects["Service"], objects["DaemonSet"], objects["Deployment"]
    assert service["spec"]["trafficDistribution"] == "PreferSameNode"
    selected = set(service["spec"]["selector"].items())
    for workload in (own, apart):
        labels = set(workload["spec"]["template"]["metadata"]["labels"].items())
        assert selected < labels
        assert set(workload["spec"]["selector"]["matchLabels"].items()) < labels
    pod = own["spec"]["template"]
    kept_apart = apart["spec"]["selector"]["matchLabels"]  # a replica must find nodes without it
    assert not kept_apart.items() <= pod["metadata"]["labels"].items()
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert own["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_where_every_node_has_a_replica_none_has_another(topology: Topology) -> None:
    small = replace(topology, nodes=topology.nodes[:3])
    objects = {item["kind"]: item for item in find_addon("dns-ha").manifests(site(small))}
    assert "DaemonSet" not in objects
    assert objects["Service"]["spec"]["trafficDistribution"] == "PreferSameNode"


def test_an_older_kubernetes_is_not_told_what_it_refuses(topology: Topology) -> None:
    old = find_addon("dns-ha").manifests(site(topology, release="v1.33.5+k3s1"))
    objects = {item["kind"]: item for item in old}
    assert "trafficDistribution" not in objects["Service"]["spec"]
    assert "DaemonSet" not in objects


def test_dns_forwards_nowhere_or_where_it_is_told(topology: Topology) -> None:
    assert "rcode NXDOMAIN" in dns_ha.corefile(topology)
    assert "forward" not in dns_ha.corefile(topology)
    forwarding = replace(
        topology,
        kubernetes=replace(topology.kubernetes, dns_forward=(ipaddress.IPv4Address("192.0.2.53"),)),
    )
    assert "forward . 192.0.2.53 {" in dns_ha.corefile(forwarding)


@pytest.mark.parametrize("name", ["upstream", "k3s"])
def test_a_coredns_of_others_never_forwards_to_itself(topology: Topology, name: str) -> None:
    """Its Corefile ends in `forward . /etc/resolv.conf`: kubelet's, with dnsPolicy Default."""
    distribution = distributions.find(name)

    def servers(addons: tuple[str, ...], forward: tuple[str, ...] = ()) -> list[str]:
        addresses = tuple(map(ipaddress.IPv4Address, forward))
        kubernetes = replace(topology.kubernetes, dns_forward=addresses)
        lab = replace(topology, addons=addons, kubernetes=kubernetes)
        by_path = {file.path: file for file in distribution.files(lab, lab.node("w1"), SECRETS)}
        folder = {"upstream": "/etc/kubernetes", "k3s": "/etc/rancher/k3s"}[name]
        return by_path[f"{folder}/resolv.conf"].content.decode().split()[1::2]

    assert servers(("dns-ha",)) == ["10.43.0.99"]  # forwards nowhere
    assert servers(()) == [str(topology.node("w1").ip)]  # nobody listens there: refused at once
    assert servers((), ("192.0.2.53",)) == servers(("dns-ha",), ("192.0.2.53",)) == ["192.0.2.53"]
