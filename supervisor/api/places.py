"""The places of a listener: how many clients it serves at once.

A place is taken by who asks for something, not by who only connects, and kept until it leaves: so
whoever is served stays served however many come, and of many that come at once as many are served
as there is room for.
"""

from collections.abc import Hashable

from supervisor.api.refusals import denied_for
from supervisor.vm.commands import DenyReason


class Places:
    """Who is served by one listener; ``most`` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: set[Hashable] = set()

    def take(self, client: Hashable) -> None:
        """Give a client a place, unless it has one. Raises CommandDenied if there is none."""
        if client not in self._taken and len(self._taken) >= self._most:
            busy = f"{self._most} clients are connected; try again later"
            raise denied_for(DenyReason.MAILBOX_FULL, "connection", busy)
        self._taken.add(client)

    def leave(self, client: Hashable) -> None:
        """Let others have its place, if it has one."""
        self._taken.discard(client)
