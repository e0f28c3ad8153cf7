"""How calls fail, told apart by what there is to do about it: change the request, or wait."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum

from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from chronovisor_api.channel import HungUp
from chronovisor_api.status_details import (
    BadRequest,
    BadRequestFieldViolation,
    ErrorInfo,
    RetryInfo,
    detail,
)

PASSING = frozenset({Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.ABORTED})
"""Statuses that say nothing of the request: the daemon is leaving, or one of us was too slow."""


class Refused(Exception):
    """The daemon said no; the same request is answered the same until something changes.

    ``reason`` is a word to compare, such as ``VM_UNKNOWN``, or empty where only ``status`` is
    known. ``violations`` are the fields that are wrong. ``retry_after`` is set where waiting helps.
    """

    def __init__(self, error: GRPCError) -> None:
        super().__init__(_sentence(error))
        self.status = error.status
        self.reason = (detail(error, ErrorInfo) or ErrorInfo()).reason
        wrong = detail(error, BadRequest) or BadRequest()
        self.violations: tuple[BadRequestFieldViolation, ...] = tuple(wrong.field_violations)
        self.retry_after: timedelta | None = (detail(error, RetryInfo) or RetryInfo()).retry_delay


class Silence(Enum):
    """Why there is no answer."""

    ABSENT = "nobody listens at the address"
    BARRED = "the way to the address is barred"
    LATE = "no answer came in time"
    DECLINED = "the daemon said that it cannot answer now"
    HUNG_UP = "the connection was closed before a word was said"
    BROKEN_OFF = "the connection broke off"


NEVER_MET = frozenset({Silence.ABSENT, Silence.BARRED, Silence.HUNG_UP})
"""Where the request cannot have reached a daemon; of all others that is not known."""


class Unreachable(Exception):
    """No daemon answers, or it went away in mid-call; ``silence`` tells which, ``why`` the rest."""

    def __init__(self, target: str, silence: Silence, why: str) -> None:
        super().__init__(f"{target}: {why}")
        self.silence = silence
        self.why = why


@contextmanager
def told_apart(target: str) -> Iterator[None]:
    """Raise Refused or Unreachable for whatever a call raises because of the daemon."""
    try:
        yield
    except GRPCError as error:
        if error.status in PASSING:
            raise Unreachable(target, Silence.DECLINED, _sentence(error)) from error
        raise Refused(error) from error
    except (StreamTerminatedError, ProtocolError, OSError) as error:
        raise Unreachable(target, _silence(error), _reason(error)) from error
    except AttributeError as error:
        # grpclib's connection loses this attribute when it is closed while a call begins.
        if error.name != "_transport":
            raise
        raise Unreachable(target, Silence.BROKEN_OFF, "it was closed at once") from error


def _silence(error: Exception) -> Silence:
    match error:
        case TimeoutError():
            return Silence.LATE
        case FileNotFoundError() | ConnectionRefusedError():
            return Silence.ABSENT
        case HungUp():
            return Silence.HUNG_UP
        case ConnectionError() | StreamTerminatedError() | ProtocolError():
            return Silence.BROKEN_OFF
        case _:
            return Silence.BARRED


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _sentence(error: GRPCError) -> str:
    return error.message or f"the daemon answered {error.status.name}"
