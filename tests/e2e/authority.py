"""A certification authority of its own for a test: certificates that are right, and others."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Pair:
    """Files of a certificate and of its key."""

    def __init__(self, stem: Path) -> None:
        self.certificate = stem.with_suffix(".pem")
        self.key = stem.with_suffix(".key")

    @property
    def options(self) -> tuple[str, ...]:
        """How `serve` is told of them."""
        return ("--tls-certificate", str(self.certificate), "--tls-key", str(self.key))


class Authority:
    """Signs certificates and writes them into a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._name = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = directory / f"{name}.ca"
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self._name, self._key, -DAY, DAY)
        certificate = builder.add_extension(constraints, critical=True)
        self.file.write_bytes(
            certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )

    def issue(
        self, name: str, *, since: datetime.timedelta = -DAY, until: datetime.timedelta = DAY
    ) -> Pair:
        """Issue a certificate for 127.0.0.1 with this common name; times count from now."""
        pair, key = Pair(self._directory / name), ec.generate_private_key(ec.SECP256R1())
        host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = self._builder(_named(name), key, since, until)
        certificate = builder.add_extension(
            x509.SubjectAlternativeName([host]), critical=False
        ).sign(self._key, hashes.SHA256())
        pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return pair

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        since: datetime.timedelta,
        until: datetime.timedelta,
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since)
            .not_valid_after(now + until)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
