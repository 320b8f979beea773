"""Which certificates do the test servers show, so that clients verify chain and host name as on RDS?"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST_NAME = "localhost"
ADDRESS = ipaddress.ip_address("127.0.0.1")
_VALID = timedelta(days=90)
"""Longer than the month before its end in which a preflight warns of a certificate."""


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority that clients trust, the server's certificate, and its private key."""

    ca: Path
    certificate: Path
    key: Path


def issue(directory: Path, *, host: str = HOST_NAME, ends: timedelta = _VALID) -> Certificates:
    """Write a new authority and its certificate for a host into an existing directory.

    The certificate of `localhost` is good for 127.0.0.1, too; it ends so long from now, or has ended if that is
    negative. The authority's key is thrown away. The server's key can be read by its owner only: whoever calls this.
    """
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _authority(ca_key)
    certificate = _server_certificate(key.public_key(), ca, ca_key, host, ends)
    files = Certificates(directory / "ca.crt", directory / "server.crt", directory / "server.key")
    files.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.touch(mode=0o600)
    files.key.write_bytes(_pem(key))
    return files


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # Key usage and identifiers are there because Python 3.13 verifies with VERIFY_X509_STRICT.
    name = _name("Test servers' certificate authority")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _builder(name, name, key.public_key(), _VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    key: ec.EllipticCurvePublicKey, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, host: str, ends: timedelta
) -> x509.Certificate:
    names: list[x509.GeneralName] = [x509.DNSName(host)]
    if host == HOST_NAME:
        names.append(x509.IPAddress(ADDRESS))
    return (
        _builder(_name(host), ca.subject, key, ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, ends: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID)
        .not_valid_after(now + ends)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
