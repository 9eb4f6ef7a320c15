"""A user's URL becomes a probe of the agent, inside the lab's subnet or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lab.base.errors import InputError
from lab.measure.url_probe import ServiceNames, from_workers, spec, target

if TYPE_CHECKING:
    from lab.topology.model import Topology


def test_http_is_asked_at_the_address_that_its_host_means(topology: Topology) -> None:
    probe = spec("shop", "http://vip:30080/health?deep=1", topology)
    assert probe.settings == {
        "kind": "http",
        "addresses": ["172.30.0.50:30080"],
        "path": "/health?deep=1",
        "codes": [200],
    }
    assert (probe.name, probe.connection, probe.pod) == ("shop", "new", "")
    assert "http://172.30.0.50:30080/health?deep=1" in probe.question


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("http://172.30.0.60", {"kind": "http", "addresses": ["172.30.0.60:80"], "path": "/"}),
        ("tcp://w1:5432", {"kind": "tcp", "addresses": ["172.30.0.41:5432"]}),
        (
            "https://lb/x",
            {"kind": "https", "addresses": ["172.30.0.40:443"], "unverified": True, "path": "/x"},
        ),
        ("grpc://w1:50051", {"kind": "grpc", "addresses": ["172.30.0.41:50051"], "service": ""}),
        ("grpc://w1:50051/a.B", {"kind": "grpc", "service": "a.B"}),
    ],
)
def test_probe_has_the_agents_words(topology: Topology, url: str, settings: dict) -> None:
    assert settings.items() <= spec("shop", url, topology).settings.items()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://10.96.0.10/", "not in the lab's subnet"),
        ("http://127.0.0.1:8080/", "not in the lab's subnet"),
        ("http://example.com/", "no machine `example.com`"),
        ("http://vp:80/", "did you mean `vip`"),
        ("grpc://vip", "no port"),
        ("grpc://8.8.8.8:443", "not in the lab's subnet"),
        ("https://8.8.8.8/", "not in the lab's subnet"),
        ("http://shop.default/", "no machine `shop.default`"),
        ("ftp://vip:21/", "kubectl:// can be measured"),
        ("vip:80", "kubectl:// can be measured"),
        ("tcp://vip", "no port"),
        ("http://vip:99999/", "no port"),
        ("http://me@vip:80/", "neither a user"),
        ("http://vip:80/a b", "white space"),
        ("", "kubectl:// can be measured"),
        ("http:///x", "no machine"),
    ],
)
def test_what_leads_out_of_the_lab_is_refused(topology: Topology, url: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        spec("shop", url, topology)
    assert said in str(caught.value)


def test_an_unchecked_certificate_is_told(topology: Topology) -> None:
    assert "certificate unchecked" in spec("shop", "https://vip/", topology).question


def services(cluster_ip: str, outside: str = "") -> ServiceNames:
    ingress = {"ingress": [{"ip": outside}]} if outside else {}
    found = {"spec": {"clusterIP": cluster_ip}, "status": {"loadBalancer": ingress}}
    named: dict[tuple[str, str], Any] = {("shop", "web"): found}
    return ServiceNames(lambda namespace, name: named[namespace, name])


@pytest.mark.parametrize("host", ["web.shop", "web.shop.svc", "web.shop.svc.cluster.local"])
def test_workers_ask_a_service_at_its_own_address(topology: Topology, host: str) -> None:
    where = target(f"http://{host}/x", topology, "workers", services("10.43.7.7"))
    rows = from_workers("shop", where, topology)
    assert [(row.name, row.pod) for row in rows] == [
        ("shop.w1", "w1"),
        ("shop.w2", "w2"),
        ("shop.w3", "w3"),
    ]
    assert {row.settings["addresses"][0] for row in rows} == {"10.43.7.7:80"}
    assert "from a pod on w1" in rows[0].question


def test_outside_asks_a_service_at_its_load_balancers_address(topology: Topology) -> None:
    where = target("tcp://web.shop:80", topology, services=services("10.43.7.7", "172.30.0.241"))
    assert where.address == "172.30.0.241:80"


@pytest.mark.parametrize(
    ("place", "cluster_ip", "outside", "said"),
    [
        ("workers", "None", "", "no address inside the cluster"),
        ("workers", "192.168.1.1", "", "is not in 10.43.0.0/16"),
        ("outside", "10.43.7.7", "", "no address outside the cluster"),
        ("outside", "10.43.7.7", "203.0.113.1", "is not in 172.30.0.0/24"),
    ],
)
def test_services_that_lead_out_of_the_lab_are_refused(
    topology: Topology, place: str, cluster_ip: str, outside: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        target("http://web.shop/", topology, place, services(cluster_ip, outside))
