"""One for one: an actor that crashes is started again from its log; too often, and the daemon ends.

VMs live on in either case. A log that can no longer be written is not an actor's fault and ends the
daemon at once: the next start recovers.
"""

import logging
from collections.abc import Awaitable, Callable

from structlog.contextvars import bound_contextvars

from eventlog import LogEnded
from supervisor.cannot_serve import CannotServe
from supervisor.vm.restart import INTENSITY, PERIOD_MS, add_restart

logger = logging.getLogger(__name__)


class TooManyRestarts(CannotServe):
    """An actor keeps crashing; the daemon ends, VMs live on."""


async def supervise(
    vm_id: str,
    run: Callable[[], Awaitable[None]],
    reload: Callable[[], Awaitable[None]],
    clock_ms: Callable[[], int],
    position: Callable[[], int],
) -> None:
    """Run an actor until it returns; after a crash, ``reload`` its state and run it again.

    ``position`` tells how far the log is. A state that cannot be reloaded counts as a crash.
    Raises TooManyRestarts, or LogEnded when the log takes no more.
    """
    with bound_contextvars(vm_id=vm_id):
        await _run_one_for_one(vm_id, run, reload, clock_ms, position)


async def _run_one_for_one(
    vm_id: str,
    run: Callable[[], Awaitable[None]],
    reload: Callable[[], Awaitable[None]],
    clock_ms: Callable[[], int],
    position: Callable[[], int],
) -> None:
    restarts: tuple[int, ...] = ()
    while True:
        try:
            if restarts:
                await reload()
            return await run()
        except Exception as crash:
            if _is_of_the_log(crash):
                raise
            told, at = "the actor of VM %s crashed and is restarted from its log", position()
            logger.exception(told, vm_id, extra={"position": at})
            counted = add_restart(restarts, clock_ms())
            if counted is None:
                raise TooManyRestarts(_last_word(vm_id, position(), crash)) from crash
            restarts = counted


def _last_word(vm_id: str, position: int, crash: BaseException) -> str:
    while isinstance(crash, BaseExceptionGroup):
        crash = crash.exceptions[0]
    return (
        f"the actor of VM {vm_id} crashed more than {INTENSITY} times in {PERIOD_MS // 1000} s, "
        f"the last time at position {position} of the log over {crash!r:.200}. This is a bug: "
        "please report it with the traceback above. Every VM lives on, and the next start attends "
        f"to them again; if it ends in the same way, leave that VM aside: serve --set-aside {vm_id}"
    )


def _is_of_the_log(crash: BaseException) -> bool:
    if isinstance(crash, BaseExceptionGroup):
        return any(_is_of_the_log(each) for each in crash.exceptions)
    return isinstance(crash, LogEnded)
