"""TLS of the daemon's listeners, and whom a client's certificate names.

TLS 1.2 and later, with what OpenSSL's defaults hold to be safe. Certificates are read once, when
the daemon starts: a new one takes a restart, which VMs live through.
"""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from cryptography import x509

from supervisor.access.handshake import Handshake
from supervisor.cannot_serve import CannotServe
from supervisor.config.schema import Tls
from supervisor.secret_file import SecretUnfit, read_secret_bytes

PEM_BYTES = 1 << 20
"""A chain has some 8 KiB, and a system's whole store of CAs some 300."""


class TlsUnfit(CannotServe):
    """A certificate or key cannot be used; the message says which, and what to do."""


class Protocol(Enum):
    """What is spoken inside (RFC 7301, section 6)."""

    HTTP_2 = "h2"
    HTTP_1_1 = "http/1.1"


Contexts = Mapping[Protocol, ssl.SSLContext]
"""How to prove who we are, to clients of each protocol; empty for no TLS at all."""


def server_contexts(tls: Tls, now_s: float) -> Contexts:
    """Read the certificates, and check them as far as clients would. Raises TlsUnfit."""
    if tls.certificate is None or tls.key is None:
        return {}
    _check_key(tls.key)
    _check_times(tls.certificate, read_certificate(tls.certificate), now_s)
    certificate, key = tls.certificate, tls.key
    return {each: _context(certificate, key, tls.client_ca, each) for each in Protocol}


def _context(
    certificate: Path, key: Path, client_ca: Path | None, protocol: Protocol
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslobject_class = Handshake
    context.set_alpn_protocols([protocol.value])
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        raise TlsUnfit(_mismatch(certificate, key, error)) from None
    except ValueError:
        raise TlsUnfit(f"tls.key: {key} has a passphrase: give one without") from None
    if client_ca is not None:
        _demand_certificates(context, client_ca)
    return context


def _no_passphrase() -> str:
    raise ValueError("nobody is there to be asked")


def _check_key(key: Path) -> None:
    try:
        read_secret_bytes(key)
    except (SecretUnfit, OSError) as error:
        raise TlsUnfit(f"tls.key: {error}") from None


def read_certificate(certificate: Path) -> x509.Certificate:
    """Return the first certificate of a chain. Raises TlsUnfit."""
    try:
        with certificate.open("rb") as file:
            return x509.load_pem_x509_certificates(file.read(PEM_BYTES))[0]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no certificate in PEM"
        raise TlsUnfit(f"tls.certificate: {certificate}: {why.lower()}") from None


def _check_times(certificate: Path, found: x509.Certificate, now_s: float) -> None:
    if found.not_valid_after_utc.timestamp() <= now_s:
        told = f"tls.certificate: {certificate} expired at {found.not_valid_after_utc.isoformat()}"
        raise TlsUnfit(f"{told}: put a valid one there")
    if found.not_valid_before_utc.timestamp() > now_s:
        begins = found.not_valid_before_utc.isoformat()
        raise TlsUnfit(f"tls.certificate: {certificate} is valid from {begins} on: set the clock")


def _mismatch(certificate: Path, key: Path, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"tls.key: {key} is not the key of the certificate in {certificate}"
    return f"tls.key: {key} and {certificate} cannot be used: {error.reason or 'no key in PEM'}"


def _demand_certificates(context: ssl.SSLContext, client_ca: Path) -> None:
    try:
        context.load_verify_locations(client_ca)
    except (OSError, ssl.SSLError):
        raise TlsUnfit(f"tls.client_ca: {client_ca} holds no certificate in PEM") from None
    context.verify_mode = ssl.CERT_REQUIRED


def certified_names(certificate: Mapping[str, Any] | None) -> Sequence[str]:
    """Return the names that a verified certificate (of ``getpeercert``) has, its CN first."""
    return tuple(_names(certificate)) if certificate else ()


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    for relative in certificate.get("subject", ()):
        yield from (value for kind, value in relative if kind == "commonName")
    for kind, value in certificate.get("subjectAltName", ()):
        if kind in {"DNS", "URI", "email"}:
            yield value
