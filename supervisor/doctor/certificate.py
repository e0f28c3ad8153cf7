"""The daemon's certificate: whether it can be shown to clients, and for how long it still can."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509

from supervisor.access.tls import PEM_BYTES, TlsUnfit, server_contexts
from supervisor.config import Config
from supervisor.doctor.finding import Finding, fault, ok, warning

SUBJECT = "TLS"
SOON = timedelta(days=14)
"""Time enough to have another one signed."""


def look_at_certificate(config: Config) -> Iterator[Finding]:
    """Yield what clients would say of the certificate, if there is one."""
    tls = config.tls
    if tls.certificate is None:
        return
    try:
        server_contexts(tls, time.time())
    except TlsUnfit as why:
        yield fault(SUBJECT, str(why), "give a certificate that is valid now, with its own key")
        return
    with tls.certificate.open("rb") as file:
        found = x509.load_pem_x509_certificates(file.read(PEM_BYTES))[0]
    until = found.not_valid_after_utc
    says = f"{tls.certificate} is valid until {until:%Y-%m-%d %H:%M} UTC"
    if until - datetime.now(UTC) < SOON:
        yield warning(SUBJECT, says, "put another one there, and start the daemon again")
    else:
        yield ok(SUBJECT, says)
