"""What a refusal says to programs: google.rpc.Status in the trailer ``grpc-status-details-bin``.

Both ends use it: the daemon to send details, a client to find them in ``GRPCError.details``. A
detail of a kind that is not known here, and bytes that are no Status, are left out: the code and
the message of a refusal stand without them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import betterproto2
from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.exceptions import GRPCError

from chronovisor_api._generated.google import protobuf, rpc
from chronovisor_api._generated.google.rpc import (
    BadRequest,
    BadRequestFieldViolation,
    ErrorInfo,
    RetryInfo,
)

__all__ = [
    "BadRequest",
    "BadRequestFieldViolation",
    "ErrorInfo",
    "RetryInfo",
    "StatusDetailsCodec",
    "detail",
]

KINDS: tuple[type[betterproto2.Message], ...] = (BadRequest, ErrorInfo, RetryInfo)

M = TypeVar("M", bound=betterproto2.Message)


class StatusDetailsCodec(StatusDetailsCodecBase):
    """Details as messages <-> bytes of a google.rpc.Status."""

    def encode(
        self, status: Status, message: str | None, details: Iterable[betterproto2.Message]
    ) -> bytes:
        """Return the bytes of the trailer, which repeat the code and the message."""
        packed = [protobuf.Any.pack(detail) for detail in details]
        return bytes(rpc.Status(code=status.value, message=message or "", details=packed))

    def decode(
        self, status: Status, message: str | None, data: bytes
    ) -> Sequence[betterproto2.Message]:
        """Return the details that are understood."""
        try:
            return list(_understood(rpc.Status.FromString(data).details))
        except Exception:  # whatever a decoder may raise: somebody between us broke the trailer
            return []


def _understood(details: Iterable[Any]) -> Iterator[betterproto2.Message]:
    names = {f"google.rpc.{kind.__name__}": kind for kind in KINDS}
    for packed in details:
        kind = names.get(packed.type_url.rpartition("/")[2])
        if kind is not None:
            yield kind.FromString(packed.value)


def detail(error: GRPCError, kind: type[M]) -> M | None:
    """Return the detail of this kind that came with ``error``, if one did."""
    return next((found for found in error.details or () if isinstance(found, kind)), None)
