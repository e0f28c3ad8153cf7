"""Who asked, and for whom: it goes with every command into the events that the command causes."""

import msgspec

from supervisor.access.roles import Reach


class Caller(msgspec.Struct, frozen=True):
    """The authenticated sender of one request.

    ``traceparent`` is the W3C Trace Context header of the request, or empty; ``command_id`` names
    the request itself and becomes the causation id of the events that it leads to. ``reach`` is
    whose VMs the request may touch.
    """

    principal: str
    tenant: str
    traceparent: str = ""
    command_id: str = ""
    reach: Reach = Reach.NOTHING
