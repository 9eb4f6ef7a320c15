from __future__ import annotations

import ipaddress
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from lab.addons import catalog
from lab.addons.addon import AddonContext
from lab.addons.catalog import dns_ha
from lab.addons.catalog import find as find_addon
from lab.base import paths
from lab.engine.files import File, pack, unpack
from lab.images import versions
from lab.kube import pki
from lab.kube.objects import node_ready, path
from lab.kube.secrets import Secrets
from lab.lifecycle.desired_state import desired
from lab.live.master_status import etcd_part, holds_vip
from lab.nodes import distributions, roles
from lab.nodes import files as nodefiles
from lab.nodes.distributions import upstream
from lab.nodes.ha import cib, corosync, nginx
from lab.topology.known_names import ADDONS, DISTRIBUTIONS

if TYPE_CHECKING:
    from lab.kube.api import KubeApi
    from lab.topology.model import Topology

UPSTREAM = distributions.find("upstream")
SECRETS = pki.new_secrets("test")


def files(topology: Topology, name: str) -> dict[str, File]:
    node = topology.node(name)
    return {
        file.path: file for file in roles.find(node.role).files(topology, node, SECRETS, UPSTREAM)
    }


def names_of(certificate: bytes) -> set[str]:
    names = (
        x509.load_pem_x509_certificate(certificate)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    return {
        str(value)
        for value in (
            *names.get_values_for_type(x509.DNSName),
            *names.get_values_for_type(x509.IPAddress),
        )
    }


def test_the_api_certificate_names_everything(topology: Topology) -> None:
    names = names_of(files(topology, "m2")["/etc/kubernetes/apiserver.crt"].content)
    assert names >= {"172.30.0.50", "172.30.0.40", "127.0.0.1", "localhost", "10.43.0.1"}
    assert names >= {"m", "m2", "m3", "lb", "172.30.0.47", "172.30.0.48", "172.30.0.49"}
    assert names >= {
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    }


@pytest.mark.parametrize(
    ("file", "authority"),
    [("apiserver", "ca"), ("kubelet", "ca"), ("front-proxy-client", "front-proxy-ca")],
)
def test_certificates_verify_against_their_authority(
    topology: Topology, file: str, authority: str
) -> None:
    certificate = x509.load_pem_x509_certificate(
        files(topology, "m")[f"/etc/kubernetes/{file}.crt"].content
    )
    certificate.verify_directly_issued_by(
        x509.load_pem_x509_certificate(SECRETS.files[f"{authority}.crt"])
    )
    with pytest.raises(ValueError, match=r"."):
        certificate.verify_directly_issued_by(
            x509.load_pem_x509_certificate(SECRETS.files["etcd-ca.crt"])
        )


def test_secrets_are_never_the_same_and_known_to_be_complete() -> None:
    other = pki.new_secrets("test")
    assert all(other.files[name] != SECRETS.files[name] for name in SECRETS.files)
    assert SECRETS.complete
    assert not Secrets(
        {name: content for name, content in SECRETS.files.items() if name != "admin.crt"}
    ).complete


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


def test_etcd_knows_all_members_and_masters_use_their_own_api(topology: Topology) -> None:
    text = files(topology, "m3")["/etc/systemd/system/etcd.service"].content.decode()
    assert (
        "m=https://172.30.0.49:2380,m2=https://172.30.0.48:2380,m3=https://172.30.0.47:2380" in text
    )
    assert (
        b"https://172.30.0.47:6443"
        in files(topology, "m3")["/etc/systemd/system/flannel.service"].content
    )
    assert (
        b"https://172.30.0.50:6443"
        in files(topology, "w1")["/etc/systemd/system/flannel.service"].content
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


def test_versions_agree_with_what_is_written() -> None:
    table = versions.read(paths.shipped("images"))
    assert f"docker.io/{table.pods['pause']}" == nodefiles.PAUSE_IMAGE
    assert table.pods["coredns"] == dns_ha.IMAGE
    assert table.pods["coredns"].endswith(table.components["coredns"].version.lstrip("v"))
    pinned = Path(paths.shipped("images"), "kubernetes", "go.mod").read_text()
    assert f"k8s.io/kubernetes {table.components['kubernetes'].version}\n" in pinned


def test_corosync_lists_all_masters(topology: Topology) -> None:
    text = corosync.corosync_conf(topology)
    assert re.findall(r"ring0_addr: (\S+)\n    name: (\S+)\n    nodeid: (\d)", text) == [
        ("172.30.0.49", "m", "1"),
        ("172.30.0.48", "m2", "2"),
        ("172.30.0.47", "m3", "3"),
    ]
    assert "token: 1000\n" in text
    assert "crypto_cipher: aes256" in text


def test_the_cib_is_consistent(topology: Topology) -> None:
    root = ET.fromstring(cib.cib(topology, UPSTREAM.health, "secret"))  # noqa: S314 (our own text)
    ids = [item.attrib["id"] for item in root.iter() if "id" in item.attrib]
    assert len(ids) == len(set(ids))
    location = root.find(".//rsc_location")
    assert location is not None
    assert location.attrib["rsc"] in {item.attrib["id"] for item in root.iter("primitive")}
    values = {item.attrib["id"]: item.attrib["value"] for item in root.iter("nvpair")}
    assert (values["vip-ip"], values["vip-cidr_netmask"]) == ("172.30.0.50", "32")
    assert {item.attrib["operation"] for item in root.iter("expression")} == {"not_defined", "ne"}
    orders = {
        (item.attrib["first"], item.attrib["then"], item.attrib["kind"])
        for item in root.iter("rsc_order")
    }
    assert orders == {("FAILOVER-ADDR", f"fence-{name}", "Optional") for name in ("m", "m2", "m3")}


def test_one_slow_answer_of_a_resource_moves_nothing(topology: Topology) -> None:
    root = ET.fromstring(cib.cib(topology, UPSTREAM.health, "secret"))  # noqa: S314 (our own text)
    values = {item.attrib["id"]: item.attrib["value"] for item in root.iter("nvpair")}
    operations = {item.attrib["id"]: item.attrib for item in root.iter("op")}
    forgotten = int(values["rsc-failure-timeout"].rstrip("s"))
    for resource in ("vip", "health"):
        for name in ("start", "stop", "monitor"):
            limit = int(operations[f"{resource}-{name}"]["timeout"].rstrip("s"))
            assert 10 < limit < forgotten
    # An address that is gone is found as soon as before.
    assert operations["vip-monitor"]["interval"] == "5s"


def test_only_workers_wait_on_a_busy_host(topology: Topology) -> None:
    tags = dict.fromkeys(("upstream", "loadbalancer", "bmc"), "tag")
    containers = desired(topology, UPSTREAM, tags, 0).containers
    assert {spec.hostname for spec in containers if spec.cpu_shares > 1024} == {
        "m",
        "m2",
        "m3",
        "lb",
        "bmc",
    }
    files = {file.path: file.content for file in cib.files(topology, SECRETS, UPSTREAM.health)}
    assert b"CPUWeight=10000" in files["/etc/systemd/system/corosync.service.d/halab.conf"]


def test_nginx_knows_all_masters(topology: Topology) -> None:
    assert re.findall(r"server (\S+):6443 max_fails=1", nginx.upstream(topology)) == [
        "172.30.0.49",
        "172.30.0.48",
        "172.30.0.47",
    ]


@pytest.mark.parametrize(("name", "authority"), [("upstream", "ca"), ("k3s", "client-ca")])
def test_the_balancer_asks_as_a_user_that_the_api_knows_and_that_may_nothing(
    topology: Topology, name: str, authority: str
) -> None:
    balancer, distribution = topology.balancer, distributions.find(name)
    by_path = {
        file.path: file
        for file in roles.find(balancer.role).files(topology, balancer, SECRETS, distribution)
    }
    certificate = x509.load_pem_x509_certificate(by_path["/etc/halab/health.crt"].content)
    issuer = x509.load_pem_x509_certificate(SECRETS.files[f"{authority}.crt"])
    certificate.verify_directly_issued_by(issuer)
    assert certificate.subject.rfc4514_string() == "CN=halab-health"
    assert by_path["/etc/halab/health.key"].mode == 0o600


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


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}},
            "/api/v1/namespaces/b/configmaps/a",
        ),
        (
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}},
            "/apis/apps/v1/namespaces/default/deployments/a",
        ),
        ({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "m"}}, "/api/v1/nodes/m"),
        (
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "x"}},
            "/apis/storage.k8s.io/v1/storageclasses/x",
        ),
    ],
)
def test_api_paths(item: dict[str, object], expected: str) -> None:
    assert path(item) == expected


def test_readiness_is_what_the_node_says() -> None:
    assert node_ready({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}) == (
        True,
        "Ready",
    )
    assert node_ready(
        {"status": {"conditions": [{"type": "Ready", "status": "False", "message": "no network"}]}}
    ) == (False, "no network")
    assert node_ready({})[0] is False


@pytest.mark.parametrize(
    ("metrics", "part"),
    [
        ("etcd_server_has_leader 1\netcd_server_is_leader 1", "leader"),
        ("etcd_server_has_leader 1\netcd_server_is_leader 0", "follower"),
        ("etcd_server_has_leader 0\netcd_server_is_leader 0", "no leader"),
        ("", "-"),
    ],
)
def test_etcd_parts(metrics: str, part: str) -> None:
    assert etcd_part(metrics) == part


def test_the_vip_is_not_mistaken_for_a_longer_address() -> None:
    assert holds_vip("51: eth0 inet 172.30.0.50/32 scope global", "172.30.0.50")
    assert not holds_vip("51: eth0 inet 172.30.0.5/24 brd 172.30.0.255", "172.30.0.50")


def test_files_survive_the_tar() -> None:
    packed = pack(
        [File(path="/a/b", content=b"x", mode=0o600, owner=189), File(path="/c", link="/d")]
    )
    assert unpack(packed) == {"b": b"x"}


def test_certificates_carry_kubernetes_identities(topology: Topology) -> None:
    pair = pki.issue(SECRETS.authority("ca"), "system:node:m", organisations=("system:nodes",))
    subject = x509.load_pem_x509_certificate(pair.certificate).subject
    assert [a.value for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == [
        "system:nodes"
    ]


def test_words_of_files_are_the_folders_lists() -> None:
    assert distributions.names() == DISTRIBUTIONS

    assert catalog.names() == ADDONS
