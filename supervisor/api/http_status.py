"""gRPC statuses -> HTTP statuses, as google/rpc/code.proto maps them."""

from grpclib.const import Status

from supervisor.api.grpc_status import STATUS
from supervisor.vm.commands import DenyReason

HTTP_STATUS: dict[Status, int] = {
    Status.INVALID_ARGUMENT: 400,
    Status.FAILED_PRECONDITION: 400,
    Status.OUT_OF_RANGE: 400,
    Status.UNAUTHENTICATED: 401,
    Status.PERMISSION_DENIED: 403,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.ABORTED: 409,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.INTERNAL: 500,
    Status.UNIMPLEMENTED: 501,
    Status.UNAVAILABLE: 503,
    Status.DEADLINE_EXCEEDED: 504,
}


def http_status(reason: DenyReason) -> int:
    """Return the status of an HTTP response that refuses a request."""
    return HTTP_STATUS[STATUS[reason]]
