"""TLS as clients meet it: what is agreed on, and what the log says of those who are refused."""

import logging
import ssl
import time
from contextlib import suppress
from pathlib import Path

import pytest

from supervisor.access.tls import Protocol, server_contexts
from supervisor.config.schema import Tls
from tests.e2e.authority import Authority

FLIGHTS = 4
"""Turns of each side in which a handshake is over."""
REFUSED = 5


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def agreed(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """What a client has after the handshake. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    listening = server.wrap_bio(to_server, to_client, server_side=True)
    asking = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    for _ in range(FLIGHTS):
        for side in (asking, listening):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return asking


@pytest.mark.parametrize("protocol", Protocol)
def test_what_is_spoken_inside_is_agreed_on(authority: Authority, protocol: Protocol) -> None:
    pair = authority.issue("server")
    contexts = server_contexts(Tls(certificate=pair.certificate, key=pair.key), time.time())
    client = ssl.create_default_context(cafile=authority.file)
    client.set_alpn_protocols([each.value for each in Protocol])
    # A client of gRPC may hang up on a server that does not agree to HTTP/2.
    assert agreed(contexts[protocol], client).selected_alpn_protocol() == protocol.value


def test_strangers_fill_no_log_however_often_they_are_refused(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = authority.issue("server")
    tls = Tls(certificate=pair.certificate, key=pair.key, client_ca=authority.file)
    context = server_contexts(tls, time.time())[Protocol.HTTP_2]
    client = ssl.create_default_context(cafile=authority.file)
    with caplog.at_level(logging.WARNING):
        for _ in range(REFUSED):
            with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
                agreed(context, client)
    assert len(caplog.records) <= 1  # none, where another test was told of the same a moment ago
