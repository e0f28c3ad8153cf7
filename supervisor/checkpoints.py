"""Keeps the log's signed checkpoint fresh, beside everything else and in the way of nothing."""

import logging
from collections.abc import Callable

import trio

from eventlog.checkpoint import SignedCheckpoint
from eventlog.errors import TreeDamaged
from eventlog.notary import Notary

logger = logging.getLogger(__name__)

EVERY_S = 10
"""How old a checkpoint may become while events come in; one costs some milliseconds of a thread."""


class Checkpoints:
    """The notary of a running daemon's log."""

    def __init__(self, notary: Notary) -> None:
        self._notary = notary

    @property
    def verifier_key(self) -> str:
        """The public key, as text."""
        return str(self._notary.verifier)

    async def fresh(self) -> SignedCheckpoint:
        """Return a checkpoint of everything acknowledged so far.

        Raises OSError, and EventLogError where the log contradicts what was signed before.
        """
        return await trio.to_thread.run_sync(self._notary.checkpoint)

    async def keep(self, head: Callable[[], int]) -> None:
        """Sign at once, and again whenever there is something new, until cancelled.

        Raises EventLogError: no daemon should go on with a log that was tampered with.
        """
        signed = -1
        while True:
            if head() > signed:
                signed = await self._sign(signed)
            await trio.sleep(EVERY_S)

    async def conclude(self) -> None:
        """Sign the last event of this life."""
        await self._sign(0)

    async def _sign(self, before: int) -> int:
        try:
            return (await self.fresh()).checkpoint.size
        except (OSError, TreeDamaged) as error:
            logger.warning("no checkpoint was written: %s", error)
            return before
