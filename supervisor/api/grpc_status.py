"""Refusals and failures -> gRPC statuses. One table; UNKNOWN is never an answer."""

import logging
import secrets

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from eventlog import LogEnded, PositionArchived, PositionInFuture
from supervisor.vm.commands import CommandDenied, DenyReason

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
    DenyReason.PLATFORM_UNAVAILABLE: Status.UNAVAILABLE,
}

MESSAGE_CHARACTERS = 2048
"""Trailers travel as headers, and clients commonly take 8 KiB of them, percent-encoded."""

_logger = logging.getLogger(__name__)


def grpc_error(error: Exception, method: str) -> GRPCError:
    """Return what a client is told of ``error``, which ended a call of ``method``.

    What nobody expected is logged with its traceback under an incident number, and the client gets
    the number: the words of such an error may say more than a stranger should know.
    """
    match error:
        case GRPCError():
            return error
        case CommandDenied():
            return _refusal(STATUS[error.reason], error.detail)
        case PositionInFuture() | PositionArchived():
            return _refusal(Status.OUT_OF_RANGE, str(error))
        case LogEnded():
            _logger.error("%s failed: %s", method, error)
            return _refusal(Status.UNAVAILABLE, "the event log takes no more; see the daemon's log")
        case _:
            incident = log_incident(error, method)
            return _refusal(Status.INTERNAL, f"internal error, incident {incident}")


def log_incident(error: Exception, doing: str) -> str:
    """Log an error that is nobody's answer; return the number to find it by."""
    incident = secrets.token_hex(4)
    _logger.error("incident %s in %s", incident, doing, exc_info=error)
    return incident


def _refusal(status: Status, detail: str) -> GRPCError:
    return GRPCError(status, detail[:MESSAGE_CHARACTERS])
