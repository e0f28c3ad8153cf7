"""Whether it is worth while to send requests here: what health checks of every kind answer.

The APIs answer from the first moment on, but until every VM was heard of, or is called silent, a
client that has the choice goes elsewhere; and so it does once the daemon is leaving.
"""

from enum import Enum, auto

from grpclib.health.check import ServiceStatus


class Standing(Enum):
    """Where in its life the daemon is."""

    RECOVERING = auto()
    SERVING = auto()
    LEAVING = auto()


class Readiness:
    """The daemon's standing, and the same for whoever watches it over gRPC."""

    def __init__(self) -> None:
        self.standing = Standing.RECOVERING
        self.grpc = ServiceStatus()
        self.grpc.set(False)

    def recovered(self) -> None:
        """Say that recovery is over; a daemon that leaves already does not come back for it."""
        if self.standing is Standing.RECOVERING:
            self.standing = Standing.SERVING
            self.grpc.set(True)

    def leave(self) -> None:
        """Say that the daemon takes no more work."""
        self.standing = Standing.LEAVING
        self.grpc.set(False)
