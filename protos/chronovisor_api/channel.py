"""How a client reaches the daemon. The token travels as metadata, never in an address or argv."""

import re

from grpclib.client import Channel
from grpclib.encoding.proto import ProtoCodec
from grpclib.events import SendRequest, listen

from chronovisor_api.status_details import StatusDetailsCodec

UNIX_PREFIX = "unix:"
UNIX_PATH_BYTES = 107
"""What fits ``sockaddr_un.sun_path`` before its final NUL (unix(7))."""
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/]+):(?P<port>[0-9]{1,5})")
PORT_LAST = 65535


class MalformedTarget(ValueError):
    """A target is neither ``unix:PATH`` nor ``HOST:PORT``."""


def connect(target: str, token: str | None = None) -> Channel:
    """Return a channel to the daemon at ``target``: ``unix:PATH`` or ``HOST:PORT``.

    ``token`` is sent as a bearer token with every call; the Unix socket needs none. Call this
    inside a running asyncio loop. The connection is made by the first call on the channel and made
    again after it broke; ``async with`` closes it. What a call raises carries the details that
    came with it (:mod:`chronovisor_api.status_details`).

    Raises:
        MalformedTarget: The target cannot be used; the message says why.
    """
    channel = _channel(target)
    if token is not None:
        authorization = f"Bearer {token}"

        async def authorize(event: SendRequest) -> None:
            event.metadata["authorization"] = authorization

        listen(channel, SendRequest, authorize)
    return channel


def _channel(target: str) -> Channel:
    if target.startswith(UNIX_PREFIX):
        path = _socket_path(target.removeprefix(UNIX_PREFIX))
        return Channel(path=path, codec=ProtoCodec(), status_details_codec=StatusDetailsCodec())
    match = _HOST_PORT.fullmatch(target)
    if match is None or not 0 < int(match["port"]) <= PORT_LAST:
        raise MalformedTarget(f"{target!r} is neither unix:PATH nor HOST:PORT")
    return Channel(
        host=match["host"].strip("[]"),
        port=int(match["port"]),
        codec=ProtoCodec(),
        status_details_codec=StatusDetailsCodec(),
    )


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
