"""Who may talk to the daemon: a token or a certificate over TCP, a uid on the Unix socket.

Loopback is not a proof of anything. Other users of the host, guests with a network and web pages
in the operator's browser can all reach it; none of them has the token, and a page that points a
name of its own at 127.0.0.1 (DNS rebinding) is given away by the Host it asks for. Beyond loopback
TLS does that: no page gets a certificate for a name that is not its own.
"""

import os
import re
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path

import msgspec

from supervisor.access.rates import Rates
from supervisor.access.roles import Identity, Role
from supervisor.access.tokens import TENANT, Grants, by_certificate, by_token
from supervisor.api.refusals import denied_for
from supervisor.secret_file import SecretUnfit, load_secret
from supervisor.vm.commands import CommandDenied, DenyReason

TOKEN_BYTES = 32
"""256 bits from the system's generator: not to be guessed."""

TCP_PRINCIPAL = "token:default"
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


def authenticate_peer(uid: int) -> Identity:
    """Return who is behind a Unix socket: root or the user that the daemon runs as."""
    if uid in {0, os.geteuid()}:
        return Identity(f"uid:{uid}", TENANT, Role.ADMIN)
    raise CommandDenied(DenyReason.PERMISSION_DENIED, f"uid {uid} may not use this socket")


class Credentials:
    """Everything that proves to this daemon who somebody is.

    ``own_token`` is the one of the state directory; ``grants`` returns those that were given to
    others, as of now.
    """

    def __init__(
        self,
        own_token: str,
        grants: Callable[[], Grants] = Grants,
        rates: Rates | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._own_token = own_token
        self._grants = grants
        self._rates = rates or Rates(None)
        self._now_s = now_s

    def identify(self, headers: Mapping[str, str], certified: Sequence[str] = ()) -> Identity:
        """Return who sent a TCP request, by its token, or else by a certificate's names.

        ``headers`` have lower-case names. Raises CommandDenied with UNAUTHENTICATED, and with
        TOO_MANY_REQUESTS for somebody who asks too often.
        """
        if "authorization" in headers or not certified:
            found = self._by_token(headers.get("authorization", ""))
        else:
            found = self._by_certificate(certified)
        self._rates.count(found.tenant, found.principal, self._now_s())
        return found

    def _by_token(self, authorization: str) -> Identity:
        given = _BEARER.fullmatch(authorization)
        if given is None:
            raise _unauthenticated("got no bearer token; TCP needs one")
        if secrets.compare_digest(given[1].encode(), self._own_token.encode()):
            return Identity(TCP_PRINCIPAL, TENANT, Role.ADMIN)
        found = by_token(self._grants().grants, given[1], self._now_ms)
        if found is None:
            raise _unauthenticated("the token is none of this daemon; it may be cut short")
        return found

    def _by_certificate(self, names: Sequence[str]) -> Identity:
        found = by_certificate(self._grants().grants, names, self._now_ms)
        if found is None:
            told = f"{names[0]!r:.160} of the certificate was granted no role here"
            raise _unauthenticated(f"{told}; an operator runs `chronovisor token create`")
        return found

    @property
    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)


def _unauthenticated(why: str) -> CommandDenied:
    return denied_for(DenyReason.UNAUTHENTICATED, "authorization", why)


class Exposure(Enum):
    """Who can reach a listener."""

    LOOPBACK = "loopback"
    NETWORK = "network"


class Door(msgspec.Struct, frozen=True):
    """What a TCP listener asks of everybody who comes to it."""

    credentials: Credentials
    tls: ssl.SSLContext | None = None
    exposure: Exposure = Exposure.LOOPBACK

    def identify(
        self, headers: Mapping[str, str], host: str, certified: Sequence[str] = ()
    ) -> Identity:
        """Return who sent a request to ``host``. Raises CommandDenied."""
        self.check_place(host, headers.get("origin"))
        return self.credentials.identify(headers, certified)

    def check_place(self, host: str, origin: str | None) -> None:
        """Refuse what a web page sent that is not ours. Raises CommandDenied."""
        if self.exposure is Exposure.LOOPBACK:
            check_host(host)
        check_origin(origin, host, "http" if self.tls is None else "https")


def check_host(host: str) -> None:
    """Refuse a request that was sent to another name than this machine's loopback has."""
    if not _LOOPBACK.fullmatch(host):
        takes = f"got {host[:100]!r}; this listener answers to localhost, 127.0.0.1 and [::1]"
        raise denied_for(DenyReason.PERMISSION_DENIED, "host", takes)


def check_origin(origin: str | None, host: str, scheme: str = "http") -> None:
    """Refuse a request that a web page of another origin made (RFC 6454, section 7)."""
    if origin is not None and origin.lower() != f"{scheme}://{host.lower()}":
        refused = f"{origin[:100]!r} may not connect here"
        raise denied_for(DenyReason.PERMISSION_DENIED, "origin", refused)


def traceparent(headers: Mapping[str, str]) -> str:
    """Return the trace that the request belongs to, or nothing (W3C Trace Context, section 3.2).

    A malformed header is ignored, as that standard wants it.
    """
    given = headers.get("traceparent", "")
    return given if _TRACEPARENT.fullmatch(given) else ""
