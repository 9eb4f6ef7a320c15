from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from rendered import SECRETS, files

from lab.kube import pki
from lab.kube.secrets import Secrets

if TYPE_CHECKING:
    from lab.topology.model import Topology


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


def test_certificates_carry_kubernetes_identities(topology: Topology) -> None:
    pair = pki.issue(SECRETS.authority("ca"), "system:node:m", organisations=("system:nodes",))
    subject = x509.load_pem_x509_certificate(pair.certificate).subject
    assert [a.value for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == [
        "system:nodes"
    ]
