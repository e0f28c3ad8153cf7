"""Refusals and failures -> problem details (RFC 9457), each wrong field named."""

import math
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from eventlog import LogEnded, PositionArchived, PositionInFuture
from supervisor.api.grpc_status import RETRY_AFTER, log_incident
from supervisor.api.http_status import http_status
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation

MEDIA_TYPE = "application/problem+json"

PLAINER: dict[DenyReason, HTTPStatus] = {
    DenyReason.WRONG_PHASE: HTTPStatus.CONFLICT,
    DenyReason.NO_RESULT: HTTPStatus.CONFLICT,
    DenyReason.POSITION_ARCHIVED: HTTPStatus.GONE,
    DenyReason.ARTIFACT_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    DenyReason.DISK_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
}
"""Where HTTP has a word of its own for what gRPC puts under a broader one."""


class Problem(msgspec.Struct, frozen=True):
    """Why a request was refused; ``reason`` is for programs, ``detail`` for people."""

    title: str
    status: int
    detail: str
    reason: str
    violations: tuple[FieldViolation, ...] = ()
    type: str = "about:blank"


class Told(Response):
    """The answer that holds a problem."""

    def __init__(self, problem: Problem, headers: dict[str, str]) -> None:
        super().__init__(msgspec.json.encode(problem), problem.status, headers, MEDIA_TYPE)
        self.reason = problem.reason


class Refusal(Exception):
    """A request that HTTP itself has a status for; ``field`` is what is wrong with it."""

    def __init__(self, status: HTTPStatus, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.status = status
        self.violation = FieldViolation(field, description)


def answer(error: Exception, doing: str) -> Told:
    """Return what a client is told of ``error``; what nobody expected is logged as an incident."""
    match error:
        case CommandDenied():
            status = PLAINER.get(error.reason, HTTPStatus(http_status(error.reason)))
            later = _later(error.reason)
            return _told(status, error.reason.value, error.detail, error.violations, later)
        case Refusal():
            reason, wrong = _reason(error.status), (error.violation,)
            return _told(error.status, reason, str(error), wrong)
        case HTTPException():
            return _of_starlette(error)
        case PositionInFuture() | PositionArchived():
            status = HTTPStatus.BAD_REQUEST
            return _told(status, _reason(status), str(error))
        case LogEnded():
            log_incident(error, doing)
            detail = "the event log takes no more; see the daemon's log"
            return _told(HTTPStatus.SERVICE_UNAVAILABLE, "log-ended", detail)
        case _:
            incident = log_incident(error, doing)
            detail = f"internal error, incident {incident}"
            return _told(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)


def _of_starlette(error: HTTPException) -> Told:
    status = HTTPStatus(error.status_code)
    wrong = FieldViolation("path", "nothing is here; /openapi.json lists what there is")
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        wrong = FieldViolation("method", f"is not one of this path; it takes {allowed}")
    detail = f"{wrong.field}: {wrong.description}"
    return _told(status, _reason(status), detail, (wrong,), dict(error.headers or {}))


def _reason(status: HTTPStatus) -> str:
    return status.phrase.lower().replace(" ", "-")


def _told(
    status: HTTPStatus,
    reason: str,
    detail: str,
    violations: tuple[FieldViolation, ...] = (),
    headers: dict[str, str] | None = None,
) -> Told:
    problem = Problem(status.phrase, int(status), detail, reason, violations)
    more = {"WWW-Authenticate": "Bearer"} if status is HTTPStatus.UNAUTHORIZED else {}
    return Told(problem, more | (headers or {}))


def _later(reason: DenyReason) -> dict[str, str]:
    """Return when to ask again, in whole seconds (RFC 9110, section 10.2.3)."""
    if reason not in RETRY_AFTER:
        return {}
    return {"Retry-After": str(math.ceil(RETRY_AFTER[reason].total_seconds()))}
