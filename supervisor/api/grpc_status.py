"""Refusals and failures -> gRPC statuses with details. One table; UNKNOWN is never an answer."""

import logging
import secrets
from collections.abc import Iterable, Iterator
from datetime import timedelta

from betterproto2 import Message
from chronovisor_api.status_details import (
    BadRequest,
    BadRequestFieldViolation,
    ErrorInfo,
    RetryInfo,
)
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.metadata import encode_grpc_message
from h2.exceptions import ProtocolError

from eventlog import LogEnded, PositionArchived, PositionInFuture
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation

STATUS: dict[DenyReason, Status] = {
    DenyReason.INVALID_MANIFEST: Status.INVALID_ARGUMENT,
    DenyReason.INVALID_ARGUMENT: Status.INVALID_ARGUMENT,
    DenyReason.ARTIFACT_UNKNOWN: Status.FAILED_PRECONDITION,
    DenyReason.ARTIFACT_TOO_LARGE: Status.RESOURCE_EXHAUSTED,
    DenyReason.ARTIFACT_MISMATCH: Status.INVALID_ARGUMENT,
    DenyReason.IMAGE_UNKNOWN: Status.FAILED_PRECONDITION,
    DenyReason.IDEMPOTENCY_KEY_REUSED: Status.ALREADY_EXISTS,
    DenyReason.VM_EXISTS: Status.ALREADY_EXISTS,
    DenyReason.VM_DELETED: Status.ALREADY_EXISTS,
    DenyReason.VM_UNKNOWN: Status.NOT_FOUND,
    DenyReason.EVENT_UNKNOWN: Status.FAILED_PRECONDITION,
    DenyReason.WRONG_PHASE: Status.FAILED_PRECONDITION,
    DenyReason.NO_RESULT: Status.FAILED_PRECONDITION,
    DenyReason.FILE_UNREADABLE: Status.FAILED_PRECONDITION,
    DenyReason.POSITION_IN_FUTURE: Status.OUT_OF_RANGE,
    DenyReason.POSITION_ARCHIVED: Status.OUT_OF_RANGE,
    DenyReason.CURSOR_OF_ANOTHER_LOG: Status.FAILED_PRECONDITION,
    DenyReason.UNAUTHENTICATED: Status.UNAUTHENTICATED,
    DenyReason.PERMISSION_DENIED: Status.PERMISSION_DENIED,
    DenyReason.TOO_MANY_REQUESTS: Status.RESOURCE_EXHAUSTED,
    DenyReason.TOO_MANY_VMS: Status.RESOURCE_EXHAUSTED,
    DenyReason.QUOTA_EXCEEDED: Status.RESOURCE_EXHAUSTED,
    DenyReason.MAILBOX_FULL: Status.RESOURCE_EXHAUSTED,
    DenyReason.DISK_FULL: Status.RESOURCE_EXHAUSTED,
    DenyReason.SHUTTING_DOWN: Status.UNAVAILABLE,
    DenyReason.NOT_CONFIDENTIAL: Status.FAILED_PRECONDITION,
    DenyReason.LAUNCH_DIFFERS: Status.FAILED_PRECONDITION,
    DenyReason.MEASUREMENT_DIFFERS: Status.FAILED_PRECONDITION,
    DenyReason.SECRET_ALREADY_SENT: Status.ALREADY_EXISTS,
    DenyReason.SECRET_TOO_LARGE: Status.INVALID_ARGUMENT,
    DenyReason.SESSION_REUSED: Status.ALREADY_EXISTS,
    DenyReason.INPUT_UNKNOWN: Status.NOT_FOUND,
    DenyReason.INPUT_ALREADY_PROVIDED: Status.ALREADY_EXISTS,
    DenyReason.NOT_A_CONSUMER: Status.PERMISSION_DENIED,
    DenyReason.PLATFORM_UNAVAILABLE: Status.UNAVAILABLE,
}

RETRY_AFTER: dict[DenyReason, timedelta] = {
    DenyReason.MAILBOX_FULL: timedelta(milliseconds=200),
    DenyReason.TOO_MANY_REQUESTS: timedelta(seconds=1),
    DenyReason.SHUTTING_DOWN: timedelta(seconds=2),
    DenyReason.TOO_MANY_VMS: timedelta(seconds=30),
    DenyReason.QUOTA_EXCEEDED: timedelta(seconds=30),
    DenyReason.DISK_FULL: timedelta(minutes=1),
}
"""What passes by itself, and how soon: a mailbox drains in milliseconds, a daemon is started again
in seconds; others' VMs end, and operators make room, when they do."""

DOMAIN = "chronovisor.org"
"""Who gives the reasons of ErrorInfo their meaning; a reason is the name of a DenyReason,
or of the status where the call itself was wrong."""

MESSAGE_BYTES = 2048
DETAIL_BYTES = 2048
"""Trailers travel as headers, of which clients commonly take 8 KiB: the message once in its
percent-encoding, and with the details once more in base64."""

_logger = logging.getLogger(__name__)


def grpc_error(error: Exception, method: str) -> GRPCError:
    """Return what a client is told of ``error``, which ended a call of ``method``.

    What nobody expected is logged with its traceback under an incident number, and the client gets
    the number: the words of such an error may say more than a stranger should know.
    """
    match error:
        case GRPCError():
            told = error.details or [ErrorInfo(error.status.name, DOMAIN)]
            return GRPCError(error.status, error.message, told)
        case CommandDenied():
            return _refusal(STATUS[error.reason], error.detail, _details(error))
        case PositionInFuture():
            return grpc_error(CommandDenied(DenyReason.POSITION_IN_FUTURE, str(error)), method)
        case PositionArchived():
            return grpc_error(CommandDenied(DenyReason.POSITION_ARCHIVED, str(error)), method)
        case ProtocolError():
            return grpc_error(GRPCError(Status.ABORTED, "the client has left"), method)
        case LogEnded():
            _logger.error("%s failed: %s", method, error)
            ended = "the event log takes no more; see the daemon's log"
            return grpc_error(CommandDenied(DenyReason.SHUTTING_DOWN, ended), method)
        case _:
            incident = log_incident(error, method)
            info = ErrorInfo("INTERNAL", DOMAIN, {"incident": incident})
            return _refusal(Status.INTERNAL, f"internal error, incident {incident}", [info])


def log_incident(error: Exception, doing: str) -> str:
    """Log an error that is nobody's answer; return the number to find it by."""
    incident = secrets.token_hex(4)
    _logger.error("incident %s in %s", incident, doing, exc_info=error)
    return incident


def _details(denied: CommandDenied) -> Iterator[Message]:
    yield ErrorInfo(denied.reason.name, DOMAIN)
    if denied.reason in RETRY_AFTER:
        yield RetryInfo(RETRY_AFTER[denied.reason])
    if denied.violations:
        yield BadRequest(list(_first_violations(denied.violations)))


def _first_violations(violations: Iterable[FieldViolation]) -> Iterator[BadRequestFieldViolation]:
    room = DETAIL_BYTES
    for wrong in violations:
        violation = BadRequestFieldViolation(wrong.field, wrong.description)
        room -= len(bytes(violation))
        if room < 0:
            return
        yield violation


def _refusal(status: Status, text: str, details: Iterable[Message]) -> GRPCError:
    # gRPC for Python takes details only if they repeat the message as it was sent.
    return GRPCError(status, _fitting(text), list(details))


def _fitting(text: str) -> str:
    text = text[:MESSAGE_BYTES]
    while (size := len(encode_grpc_message(text))) > MESSAGE_BYTES:
        text = text[: len(text) * MESSAGE_BYTES // size]
    return text
