"""How calls fail, told apart by what there is to do about it: change the request, or wait."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from chronovisor_api.status_details import (
    BadRequest,
    BadRequestFieldViolation,
    ErrorInfo,
    RetryInfo,
    detail,
)

PASSING = frozenset({Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.ABORTED})
"""Statuses that say nothing of the request: the daemon is leaving, or one of us was too slow."""

RETRY_SECONDS = 0.25
"""Between two tries; a try costs next to nothing."""


class Refused(Exception):
    """The daemon said no; the same request is answered the same until something changes.

    ``reason`` is a word to compare, such as ``VM_UNKNOWN``, or empty where only ``status`` is
    known. ``violations`` are the fields that are wrong. ``retry_after`` is set where waiting helps.
    """

    def __init__(self, error: GRPCError) -> None:
        super().__init__(error.message or error.status.name)
        self.status = error.status
        self.reason = (detail(error, ErrorInfo) or ErrorInfo()).reason
        wrong = detail(error, BadRequest) or BadRequest()
        self.violations: tuple[BadRequestFieldViolation, ...] = tuple(wrong.field_violations)
        self.retry_after: timedelta | None = (detail(error, RetryInfo) or RetryInfo()).retry_delay


class Unreachable(Exception):
    """No daemon answers, or it went away in mid-call: whether it took a request is not known."""


class Patience:
    """How long a daemon that does not answer is waited for, counted from its first silence."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._silent_since: float | None = None

    def renew(self) -> None:
        """Note that the daemon answers."""
        self._silent_since = None

    async def wait(self, away: Unreachable) -> None:
        """Wait before the next try; raise ``away`` if it has been long enough."""
        now = time.monotonic()
        self._silent_since = now if self._silent_since is None else self._silent_since
        if now - self._silent_since >= self._seconds:
            raise away
        await asyncio.sleep(RETRY_SECONDS)


@contextmanager
def told_apart(target: str) -> Iterator[None]:
    """Raise Refused or Unreachable for whatever a call raises because of the daemon."""
    try:
        yield
    except GRPCError as error:
        if error.status in PASSING:
            raise Unreachable(f"{target}: {error.message or error.status.name}") from error
        raise Refused(error) from error
    except (StreamTerminatedError, ProtocolError, OSError, TimeoutError) as error:
        raise Unreachable(f"{target}: {str(error) or type(error).__name__}") from error
    except AttributeError as error:
        # grpclib's connection loses this attribute when it is closed while a call begins.
        if error.name != "_transport":
            raise
        raise Unreachable(f"{target}: the connection was closed at once") from error
