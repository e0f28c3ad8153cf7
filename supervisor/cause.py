"""The thread from a request to the last event that follows from it."""

import msgspec

from supervisor.caller import Caller


class Cause(msgspec.Struct, frozen=True):
    """Why something happens: what directly led to it, and the request or start it all began with.

    ``principal`` is set only on what a command causes directly; what QEMU or a clock then does is
    nobody's order, and is joined to the order by the two ids.
    """

    causation_id: str
    correlation_id: str
    principal: str = ""
    traceparent: str = ""

    def followed_by(self, event_id: str) -> "Cause":
        """Return the cause of what an event leads to."""
        return Cause(event_id, self.correlation_id, traceparent=self.traceparent)


def cause_of(caller: Caller) -> Cause:
    """Return the cause of what a request directly leads to."""
    return Cause(caller.command_id, caller.command_id, caller.principal, caller.traceparent)
