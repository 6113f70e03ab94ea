"""Certificates as a TLS terminator would report them, and such as a server on this machine shows."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@cache
def certificate(name: str) -> bytes:
    """Return a certificate in DER, the same for the same name."""
    return _made(name).public_bytes(Encoding.DER)


@cache
def pem(name: str) -> str:
    """Return the same certificate as PEM."""
    return x509.load_der_x509_certificate(certificate(name)).public_bytes(Encoding.PEM).decode()


def _made(name: str) -> x509.Certificate:
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begins, ends = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    return builder.not_valid_before(begins).not_valid_after(ends).sign(key, None)


class TLSFiles(NamedTuple):
    """Name the files of a server's certificate, its key, and the authority that vouches for it."""

    certificate: Path
    key: Path
    authority: Path

    def served(self) -> ssl.SSLContext:
        """Return what the server speaks TLS with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def trusting(self) -> ssl.SSLContext:
        """Return what trusts that authority alone."""
        return ssl.create_default_context(cafile=str(self.authority))


def tls_files(folder: Path, *hosts: str, days: int = 1) -> TLSFiles:
    """Make an authority, and a certificate for the hosts that ends in `days` days."""
    issuing, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("ca", "server")
    )
    names = [x509.IPAddress(ip_address(each)) if each[0].isdigit() else x509.DNSName(each) for each in hosts]
    begun = _begun(issuer, issuer, issuing, days=9)
    ca = begun.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    leaf = _begun(subject, issuer, own, days=days).add_extension(
        x509.SubjectAlternativeName(names), critical=False
    )
    files = TLSFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    files.authority.write_bytes(ca.sign(issuing, SHA256()).public_bytes(Encoding.PEM))
    files.certificate.write_bytes(leaf.sign(issuing, SHA256()).public_bytes(Encoding.PEM))
    files.key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(days=9)).not_valid_after(now + timedelta(days=days))
