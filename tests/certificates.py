"""Certificates as a TLS terminator would report them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
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
