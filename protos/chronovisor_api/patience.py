"""How long a daemon that does not answer is waited for, and whether it is asked again at all."""

import asyncio
import time
from dataclasses import dataclass

from chronovisor_api.failures import NEVER_MET, Unreachable

PATIENCE_SECONDS = 60.0
"""A restart with a long log takes seconds."""

RETRY_SECONDS = 0.25
"""Between two tries; a try costs next to nothing."""


@dataclass(frozen=True)
class Patience:
    """Seconds that are waited for a daemon that went away, and for one that was never met."""

    returning: float
    coming: float


class Wait:
    """The waiting of one call, counted from the daemon's first silence."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._is_met = False
        self._silent_since: float | None = None

    def answered(self) -> None:
        """Note that the daemon answers."""
        self._is_met = True
        self._silent_since = None

    async def after(self, away: Unreachable) -> None:
        """Wait before the next try; raise ``away`` if it has been long enough."""
        self._is_met = self._is_met or away.silence not in NEVER_MET
        seconds = self._patience.returning if self._is_met else self._patience.coming
        now = time.monotonic()
        self._silent_since = now if self._silent_since is None else self._silent_since
        if now - self._silent_since >= seconds:
            raise away
        await asyncio.sleep(RETRY_SECONDS)
