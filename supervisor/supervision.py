"""One for one: an actor that crashes is started again from its log; too often, and the daemon ends.

VMs live on in either case. A log that can no longer be written is not an actor's fault and ends the
daemon at once: the next start recovers.
"""

import logging
from collections.abc import Awaitable, Callable

from eventlog import LogEnded
from supervisor.cannot_serve import CannotServe
from supervisor.vm.restart import INTENSITY, PERIOD_MS, add_restart

logger = logging.getLogger(__name__)


class TooManyRestarts(CannotServe):
    """An actor keeps crashing; the daemon ends, VMs live on."""


async def supervise(
    name: str,
    run: Callable[[], Awaitable[None]],
    reload: Callable[[], Awaitable[None]],
    clock_ms: Callable[[], int],
) -> None:
    """Run an actor until it returns; after a crash, ``reload`` its state and run it again.

    Raises TooManyRestarts, or LogEnded when the log takes no more.
    """
    restarts: tuple[int, ...] = ()
    while True:
        try:
            return await run()
        except Exception as crash:
            if _is_of_the_log(crash):
                raise
            logger.exception("the actor of %s crashed and is restarted from its log", name)
            counted = add_restart(restarts, clock_ms())
            if counted is None:
                raise TooManyRestarts(
                    f"the actor of {name} crashed more than {INTENSITY} times "
                    f"in {PERIOD_MS // 1000} s"
                ) from crash
            restarts = counted
            await reload()


def _is_of_the_log(crash: BaseException) -> bool:
    if isinstance(crash, BaseExceptionGroup):
        return any(_is_of_the_log(each) for each in crash.exceptions)
    return isinstance(crash, LogEnded)
