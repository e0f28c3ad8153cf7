"""TLS handshakes of clients: the log says now and then why one was refused.

All that speak TLS here, asyncio's gRPC and Trio's HTTP and WebSocket, do it through a context of
:mod:`ssl`. What fails in it is a client's affair and is told by none of them, but an operator whose
certificate ran out looks for the reason here.
"""

import logging
import math
import ssl
import time

logger = logging.getLogger(__name__)

TELL_S = 10.0
"""Strangers may try as often as they like; the log has a line of each reason at most so often."""


class Handshake(ssl.SSLObject):
    """One connection's TLS. The context makes it, by its ``sslobject_class``."""

    def do_handshake(self) -> None:
        """Go on with it. Raises ssl.SSLError."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            _tell(f"its certificate is not taken: {error.verify_message}")
            raise
        except ssl.SSLError as error:
            if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
                _tell("it showed no certificate, and tls.client_ca asks for one")
            raise


_told: dict[str, float] = {}
"""When each reason was told last: OpenSSL knows some 80."""


def _tell(why: str) -> None:
    if time.monotonic() - _told.get(why, -math.inf) >= TELL_S:
        _told[why] = time.monotonic()
        logger.warning("a client was refused: %s", why)
