"""How a client reaches the daemon. The token travels as metadata, never in an address or argv."""

import asyncio
import re
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.encoding.proto import ProtoCodec
from grpclib.events import SendRequest, listen
from grpclib.protocol import H2Protocol

from chronovisor_api.status_details import StatusDetailsCodec

UNIX_PREFIX = "unix:"
UNIX_PATH_BYTES = 107
"""What fits ``sockaddr_un.sun_path`` before its final NUL (unix(7))."""
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/]+):(?P<port>[0-9]{1,5})")
PORT_LAST = 65535

KEEPALIVE_SECONDS = 15.0
"""While a call is open, the daemon is asked so often whether it is there, and taken for gone when
it does not answer as long: a host that lost its power, or a tunnel that broke, says no goodbye."""


GREETING_SECONDS = 30.0
"""What a daemon gets for its first word, which it says at once: as a lost one gets for a ping."""


class MalformedTarget(ValueError):
    """A target is neither ``unix:PATH`` nor ``HOST:PORT``."""


class HungUp(ConnectionError):
    """The connection was closed before the daemon said a word (RFC 9113, section 3.4).

    So end those that speak no TLS where it is spoken, show a certificate that is not taken, or none
    where one is asked for, and those that come to a daemon that is crowded, or is leaving.
    """


def connect(
    target: str,
    token: str | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    keepalive_s: float = KEEPALIVE_SECONDS,
) -> Channel:
    """Return a channel to the daemon at ``target``: ``unix:PATH`` or ``HOST:PORT``.

    ``token`` is sent as a bearer token with every call; the Unix socket needs none. ``tls`` is how
    the daemon is known and what it is shown, as :func:`tls_context` makes it; without it nothing is
    encrypted.

    Call this inside a running asyncio loop. The connection is made by the first call on the channel
    and made again after it broke; ``async with`` closes it. While a call is open, a daemon that
    does not answer a ping within ``keepalive_s``, sent as often, is taken for gone: the call ends
    with StreamTerminatedError. What a call raises carries the details that came with it
    (:mod:`chronovisor_api.status_details`).

    Raises:
        MalformedTarget: The target cannot be used; the message says why.
    """
    channel = _channel(target, _configuration(keepalive_s), tls)
    if token is not None:
        authorization = f"Bearer {token}"

        async def authorize(event: SendRequest) -> None:
            event.metadata["authorization"] = authorization

        listen(channel, SendRequest, authorize)
    return channel


def tls_context(
    *, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Return how to speak TLS with a daemon whose certificate ``ca`` signed.

    Without ``ca``, those count that the system trusts. ``certificate`` and ``key`` are shown to a
    daemon that asks for them. All are files in PEM. Raises OSError, of which ssl.SSLError is one.
    """
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def _configuration(keepalive_s: float) -> Configuration:
    return Configuration(
        _keepalive_time=keepalive_s,
        _keepalive_timeout=keepalive_s,
        _http2_max_pings_without_data=0,  # which means: as many as it takes
        _http2_min_sent_ping_interval_without_data=keepalive_s / 2,
    )


class _Protocol(H2Protocol):
    """One connection, which is closed without waiting for a peer that takes nothing."""

    def __init__(self, protocol: H2Protocol) -> None:
        super().__init__(protocol.handler, protocol.config, protocol.h2_config)
        self._greeting = asyncio.get_running_loop().create_future()

    async def greeted(self) -> None:
        """Wait for the daemon's first word. Raises HungUp or TimeoutError."""
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                await self._greeting
        except BaseException:
            self.connection.close()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; closing sends nothing more, which could last for ever."""
        super().connection_made(transport)
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        close = partial(_abort, transport, self.connection.close)
        self.connection.close = close  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        """Take what the daemon said; one that speaks something else was hung up on by that."""
        super().data_received(data)
        if not self._transport.is_closing() and not self._greeting.done():
            self._greeting.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the calls that there are."""
        if not self._greeting.done():
            self._greeting.set_exception(HungUp("it hung up before it said a word"))
            self._greeting.exception()  # a call that was cancelled meanwhile asks for it no more
        super().connection_lost(exc)


def _abort(transport: asyncio.WriteTransport, close: Callable[[], None]) -> None:
    close()
    transport.abort()


class _Channel(Channel):
    def _protocol_factory(self) -> H2Protocol:
        return _Protocol(super()._protocol_factory())

    async def _create_connection(self) -> H2Protocol:
        protocol = await super()._create_connection()
        assert isinstance(protocol, _Protocol)
        await protocol.greeted()
        return protocol


def _channel(target: str, config: Configuration, tls: ssl.SSLContext | None) -> Channel:
    codec, details = ProtoCodec(), StatusDetailsCodec()
    if target.startswith(UNIX_PREFIX):
        path = _socket_path(target.removeprefix(UNIX_PREFIX))
        return _Channel(path=path, codec=codec, status_details_codec=details, config=config)
    match = _HOST_PORT.fullmatch(target)
    if match is None or not 0 < int(match["port"]) <= PORT_LAST:
        raise MalformedTarget(f"{target!r} is neither unix:PATH nor HOST:PORT")
    host, port = match["host"].strip("[]"), int(match["port"])
    return _Channel(host, port, ssl=tls, codec=codec, status_details_codec=details, config=config)


def _socket_path(path: str) -> str:
    if not path:
        raise MalformedTarget("unix: is not followed by the path of a socket")
    size = len(path.encode(errors="surrogateescape"))
    if size > UNIX_PATH_BYTES:
        raise MalformedTarget(
            f"the socket path {path!r} has {size} bytes, but the system takes at most "
            f"{UNIX_PATH_BYTES}: use a shorter one, such as a symbolic link to its directory"
        )
    return path
