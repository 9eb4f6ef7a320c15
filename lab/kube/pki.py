"""Makes the lab's secrets: certificate authorities, keys and tokens.

They are random for each lab, and known before anything boots. Keys are EC P-256, as K3s and
kubeadm's ECDSA profile use them: making one takes microseconds, while RSA takes a second.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets as random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.kube.secrets import Pair, Secrets

LIFETIME = dt.timedelta(days=3650)
"""Ten years, as kubeadm's authorities: no lab lives longer."""
BACKDATE = dt.timedelta(hours=1)
"""Certificates are valid from an hour ago, so that a node accepts them even if its clock is skewed
on purpose."""
AUTHORITIES = ("ca", "etcd-ca", "front-proxy-ca", "client-ca", "etcd-peer-ca")
"""Kubernetes' three, by kubeadm's names, and two more that K3s keeps apart."""
ADMIN_GROUP = "system:masters"


def _key_pem(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _name(common: str, organisations: tuple[str, ...] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in organisations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def new_authority(common: str) -> Pair:
    """Make a self-signed certificate authority with this common name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common)
    certificate = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return Pair(
        _key_pem(key, serialization.PrivateFormat.TraditionalOpenSSL),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


def _alternative(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def issue(
    authority: Pair,
    common: str,
    *,
    organisations: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
) -> Pair:
    """Issue a certificate, with a new key, for clients and servers alike.

    `names` are its DNS names and IP addresses, in any order; repeats are allowed. For Kubernetes,
    `common` is the user and `organisations` are the groups.
    """
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        msg = "the authority's key is not an EC key"
        raise TypeError(msg)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(common, organisations), issuer.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if names:
        alternatives = [_alternative(text) for text in dict.fromkeys(names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    return Pair(
        _key_pem(key, serialization.PrivateFormat.TraditionalOpenSSL),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


def new_secrets(lab: str) -> Secrets:
    """Make all secrets of a lab, at random: never the same twice."""
    files: dict[str, bytes] = {}
    for name in AUTHORITIES:
        pair = new_authority(f"{lab} {name}")
        files[f"{name}.key"], files[f"{name}.crt"] = pair.key, pair.certificate
    service = ec.generate_private_key(ec.SECP256R1())
    files["sa.key"] = _key_pem(service, serialization.PrivateFormat.TraditionalOpenSSL)
    files["sa.pub"] = service.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    files["token"] = random.token_hex(24).encode()
    files["agent-token"] = random.token_hex(24).encode()
    # 256 bytes: what corosync-keygen writes by default (corosync-keygen(8)).
    files["corosync.authkey"] = random.token_bytes(256)
    # Last, so that `complete` is True of a full volume only. The administrator's certificate is
    # kept, so that every kubeconfig has the same one.
    admin = issue(
        Pair(files["ca.key"], files["ca.crt"]), "halab-admin", organisations=(ADMIN_GROUP,)
    )
    files["admin.key"], files["admin.crt"] = admin.key, admin.certificate
    return Secrets(files)
