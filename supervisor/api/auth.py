"""Who may talk to the daemon: a token over TCP, a uid on the Unix socket.

Loopback is not a proof of anything. Other users of the host, guests with a network and web pages
in the operator's browser can all reach it; none of them has the token, and a page that points a
name of its own at 127.0.0.1 (DNS rebinding) is given away by the Host it asks for.
"""

import os
import re
import secrets
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from supervisor.api.refusals import denied_for
from supervisor.secret_file import SecretUnfit, load_secret
from supervisor.vm.commands import CommandDenied, DenyReason

TOKEN_BYTES = 32
"""256 bits from the system's generator: not to be guessed."""

TCP_PRINCIPAL = "token:default"
TENANT = "default"

_UCRED = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_BEARER = re.compile(r"Bearer +([!-~]+)", re.IGNORECASE)
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


def load_token(path: Path) -> str:
    """Return the token in the file ``path``, made on first use and readable by its owner only.

    Raises:
        SecretUnfit: The file is empty, or others may read it, or it is not a file of ours.
        OSError: The directory cannot be read or written.
    """
    token = load_secret(path, lambda: secrets.token_urlsafe(TOKEN_BYTES))
    if not re.fullmatch(r"[!-~]{16,}", token):
        raise SecretUnfit(f"{path} holds no token: remove it, and a new one is made")
    return token


def peer_uid(connection: socket.socket) -> int:
    """Return the uid that the process at the other end had when it connected (unix(7))."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _pid, uid, _gid = _UCRED.unpack(credentials)
    return int(uid)


def authenticate_peer(uid: int) -> str:
    """Return the principal behind a Unix socket: root or the user that the daemon runs as."""
    if uid in {0, os.geteuid()}:
        return f"uid:{uid}"
    raise CommandDenied(DenyReason.PERMISSION_DENIED, f"uid {uid} may not use this socket")


def authenticate_bearer(headers: Mapping[str, str], token: str) -> str:
    """Return the principal behind a TCP request, which must come with the token.

    ``headers`` have lower-case names. Raises CommandDenied with UNAUTHENTICATED.
    """
    given = _BEARER.fullmatch(headers.get("authorization", ""))
    if given is None:
        raise denied_for(
            DenyReason.UNAUTHENTICATED, "authorization", "got no bearer token; TCP needs one"
        )
    if not secrets.compare_digest(given[1].encode(), token.encode()):
        raise denied_for(
            DenyReason.UNAUTHENTICATED, "authorization", "the token is not the one of this daemon"
        )
    return TCP_PRINCIPAL


def check_host(host: str) -> None:
    """Refuse a request that was sent to another name than this machine's loopback has."""
    if not _LOOPBACK.fullmatch(host):
        takes = f"got {host[:100]!r}; this listener answers to localhost, 127.0.0.1 and [::1]"
        raise denied_for(DenyReason.PERMISSION_DENIED, "host", takes)


def check_origin(origin: str | None, host: str) -> None:
    """Refuse a request that a web page of another origin made (RFC 6454, section 7)."""
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        refused = f"{origin[:100]!r} may not connect here"
        raise denied_for(DenyReason.PERMISSION_DENIED, "origin", refused)


def traceparent(headers: Mapping[str, str]) -> str:
    """Return the trace that the request belongs to, or nothing (W3C Trace Context, section 3.2).

    A malformed header is ignored, as that standard wants it.
    """
    given = headers.get("traceparent", "")
    return given if _TRACEPARENT.fullmatch(given) else ""
