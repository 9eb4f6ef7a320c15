"""The lab's secrets: certificate authorities, keys and tokens, random for each lab and known before anything boots.

Keys are EC P-256 (what K3s and kubeadm's ECDSA profile use; generation takes microseconds, not the second of RSA).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets as random
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=3650)
"""Ten years, kubeadm's lifetime for authorities: no lab outlives it."""
BACKDATE = dt.timedelta(hours=1)
"""Certificates begin an hour ago, so that a node whose clock is skewed on purpose still accepts
them."""
AUTHORITIES = ("ca", "etcd-ca", "front-proxy-ca", "client-ca", "etcd-peer-ca")
"""Kubernetes' three (kubeadm's names) and the two more that K3s keeps apart."""
ADMIN_GROUP = "system:masters"


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and its certificate, both PEM."""

    key: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True)
class Secrets:
    """All secrets of a lab by file name: `<authority>.crt/.key`, `sa.key/.pub`, `admin.crt/.key`, tokens, `corosync.authkey`."""

    files: dict[str, bytes]

    def authority(self, name: str) -> Pair:
        """Return one of AUTHORITIES. Raises KeyError for another name."""
        return Pair(self.files[f"{name}.key"], self.files[f"{name}.crt"])

    def text(self, name: str) -> str:
        """Return a secret that is text (a token or PEM)."""
        return self.files[name].decode()

    @property
    def complete(self) -> bool:
        """Whether every secret is there: a volume filled half-way is filled anew."""
        return all(
            name in self.files for name in ("corosync.authkey", "admin.crt", "token", "agent-token")
        )


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
    """Make a self-signed authority."""
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
    """Issue a certificate for clients and servers alike; `names` are its DNS names and addresses, in any order, repeats allowed."""
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
    """Make all secrets of a lab, random, never the same twice."""
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
    # Last, for `complete`: the administrator's certificate, the same at every look.
    admin = issue(
        Pair(files["ca.key"], files["ca.crt"]), "halab-admin", organisations=(ADMIN_GROUP,)
    )
    files["admin.key"], files["admin.crt"] = admin.key, admin.certificate
    return Secrets(files)
