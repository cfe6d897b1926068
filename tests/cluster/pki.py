"""Keys and certificates of one control plane: a CA, a server, an administrator, the key of service account tokens."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=2)


class Authority:
    """Signs certificates into ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = _write_key(folder / "ca.key")
        self._name = _name("test-ca")
        builder = _builder(subject=self._name, issuer=self._name, key=self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        certificate = builder.add_extension(identifier, critical=False).sign(self._key, hashes.SHA256())
        self.file = _write_certificate(folder / "ca.crt", certificate)

    def issue(self, name: str, *, group: str = "", addresses: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """A certificate for ``name`` and its key, as files. With ``addresses`` for a server, else for a client."""
        key = _write_key(self._folder / f"{name}.key")
        builder = _builder(subject=_name(name, group), issuer=self._name, key=key)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if addresses else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if addresses:
            names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(text)) for text in addresses]
            builder = builder.add_extension(
                x509.SubjectAlternativeName([*names, x509.DNSName("localhost")]), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        return _write_certificate(self._folder / f"{name}.crt", certificate), self._folder / f"{name}.key"

    def signing_key(self) -> Path:
        """A bare key, for service account tokens."""
        _write_key(self._folder / "service-accounts.key")
        return self._folder / "service-accounts.key"


def _builder(*, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
    )


def _name(common: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _write_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.write_bytes(text)
    path.chmod(0o600)
    return key


def _write_certificate(path: Path, certificate: x509.Certificate) -> Path:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path
