"""The headers of a gRPC request -> who calls and until when, or a refusal with a proper status.

What is checked here would otherwise reach grpclib, which answers UNKNOWN or not at all: it takes
any header for granted (gRPC over HTTP/2: "Requests").
"""

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from supervisor.access.roles import Identity
from supervisor.api import auth
from supervisor.api.grpc_actions import action_of
from supervisor.api.grpc_status import grpc_error
from supervisor.api.permission import permitted
from supervisor.caller import Caller
from supervisor.vm.commands import CommandDenied

Headers = Sequence[tuple[str, str]]
Authenticate = Callable[[Mapping[str, str]], Identity]
"""Request headers -> who sent them. Raises CommandDenied."""

TIMEOUT_HEADER = "grpc-timeout"
_BASE64 = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2,3}={0,2})?")
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_CONTENT_TYPES = frozenset({"application/grpc", "application/grpc+proto"})


class Admitted(msgspec.Struct, frozen=True):
    """A request that may be served: for whom, and for how many seconds from now, if bounded."""

    caller: Caller
    timeout_s: float | None


def admit(headers: Headers, authenticate: Authenticate) -> Admitted:
    """Return what the headers of a request say. Raises GRPCError."""
    fields = dict(headers)
    _check_protocol(fields)
    _check_binary(headers)
    timeout_s = _timeout(fields)
    try:
        identity = authenticate(fields)
        caller = permitted(identity, action_of(fields[":path"]), auth.traceparent(fields))
    except CommandDenied as denied:
        raise grpc_error(denied, fields[":path"]) from None
    return Admitted(caller, timeout_s)


def authenticate_tcp(door: auth.Door, certified: Sequence[str]) -> Authenticate:
    """Return how callers over TCP prove themselves: right host, right token or certificate."""

    def authenticate(headers: Mapping[str, str]) -> Identity:
        host = headers.get(":authority") or headers.get("host", "")
        return door.identify(headers, host, certified)

    return authenticate


def authenticate_unix(uid: int) -> Authenticate:
    """Return how callers on a Unix socket prove themselves: by the user that connected."""
    return lambda _headers: auth.authenticate_peer(uid)


def _check_protocol(fields: Mapping[str, str]) -> None:
    if fields.get(":method") != "POST" or not fields.get(":path"):
        raise GRPCError(Status.INVALID_ARGUMENT, ":method: a gRPC request is a POST to a path")
    content_type = fields.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in _CONTENT_TYPES:
        raise GRPCError(Status.INVALID_ARGUMENT, "content-type: it takes application/grpc")
    if fields.get("te") != "trailers":
        raise GRPCError(Status.INVALID_ARGUMENT, "te: it takes trailers")


def _check_binary(headers: Headers) -> None:
    for name, value in headers:
        if name.endswith("-bin") and not _BASE64.fullmatch(value):
            raise GRPCError(Status.INVALID_ARGUMENT, f"{name[:64]}: it takes base64")


def _timeout(fields: Mapping[str, str]) -> float | None:
    given = fields.get(TIMEOUT_HEADER)
    if given is None:
        return None
    match = _TIMEOUT.fullmatch(given)
    if match is None:
        raise GRPCError(
            Status.INVALID_ARGUMENT, f"{TIMEOUT_HEADER}: it takes up to 8 digits and one of HMSmun"
        )
    return int(match[1]) * _SECONDS[match[2]]
