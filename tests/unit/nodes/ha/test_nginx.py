from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from rendered import SECRETS

from lab.nodes import distributions, roles
from lab.nodes.ha import nginx

if TYPE_CHECKING:
    from lab.topology.model import Topology


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
