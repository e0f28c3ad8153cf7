"""The daemon's certificate: whether it can be shown to clients, and for how long it still can."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from supervisor.access.tls import TlsUnfit, read_certificate, server_contexts
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
        until = read_certificate(tls.certificate).not_valid_after_utc
    except TlsUnfit as why:
        yield fault(SUBJECT, str(why), "give a certificate that is valid now, with its own key")
        return
    says = f"{tls.certificate} is valid until {until:%Y-%m-%d %H:%M} UTC"
    if until - datetime.now(UTC) < SOON:
        yield warning(SUBJECT, says, "put another one there, and start the daemon again")
    else:
        yield ok(SUBJECT, says)
