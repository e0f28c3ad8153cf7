"""sd_notify(3): what whoever started the daemon is told of its life, one datagram each time.

Nothing depends on being heard. A manager that is gone, or does not listen, is told in vain, and the
daemon goes on; with a watchdog, what it misses is its own to judge.
"""

import logging
import socket
from collections.abc import Callable, MutableMapping

import trio

logger = logging.getLogger(__name__)

SOCKET = "NOTIFY_SOCKET"
WATCHDOG_US = "WATCHDOG_USEC"
WATCHDOG_PID = "WATCHDOG_PID"

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"

PATIENCE_S = 0.1
"""For a manager whose queue is full: it empties within milliseconds, or the manager hangs."""
STATUS_EVERY_S = 1.0
"""A person who looks at `systemctl status` sees it move; the manager is not flooded."""
MORE_TIME = "EXTEND_TIMEOUT_USEC=30000000"
"""With each status of a recovery: it takes as long as it takes, but each VM is seconds at most."""
BEAT_S_MIN = 0.1
"""However little the manager asks for: more often would leave the event loop to nothing else."""
WATCHDOG_DIGITS_MAX = 18
"""Some 30 000 years in microseconds."""


class Notifier:
    """Tells the service manager at ``address``; without one, nobody.

    ``watchdog_s`` is how long the manager waits for a sign of life, 0 for no watchdog.
    """

    def __init__(self, address: str = "", watchdog_s: float = 0) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = watchdog_s
        self._last_failure = ""

    def tell(self, *assignments: str) -> None:
        """Send assignments such as ``READY=1`` together; waits for :data:`PATIENCE_S` at most.

        A manager that is not reached for the same reason as before is warned of once.
        """
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(PATIENCE_S)
                sender.sendto("\n".join(assignments).encode(), self._address)
            self._last_failure = ""
        except OSError as error:
            why = error.strerror or str(error)
            if why != self._last_failure:
                logger.warning("the service manager was not told %s: %s", assignments[0], why)
            self._last_failure = why

    def status(self, text: str, *more: str) -> None:
        """Say in words how the daemon is."""
        self.tell(*more, f"STATUS={text}")

    async def keep_alive(self) -> None:
        """Say that this event loop turns, twice in each time that the watchdog waits."""
        while self.watchdog_s:
            self.tell(ALIVE)
            await trio.sleep(max(self.watchdog_s / 2, BEAT_S_MIN))

    async def recovering(self, recovered: trio.Event, missing: Callable[[], int]) -> None:
        """Tell how many VMs were found again, and in the end that the daemon is ready."""
        sought = missing()
        while not recovered.is_set():
            self.status(f"recovering {sought - missing()} of {sought}", MORE_TIME)
            with trio.move_on_after(STATUS_EVERY_S):
                await recovered.wait()
        self.status("serving", READY)


def notifier_of(environment: MutableMapping[str, str], pid: int) -> Notifier:
    """Return who tells the manager that ``environment`` names, if one does.

    The variables are taken out of it: no other program that we start speaks for the daemon.
    """
    address = environment.pop(SOCKET, "")
    every_us = environment.pop(WATCHDOG_US, "")
    watched = environment.pop(WATCHDOG_PID, str(pid))
    if address and address[0] not in "/@":
        logger.warning("%s=%s is no Unix socket: nobody is told", SOCKET, address)
        address = ""
    is_number = every_us.isascii() and every_us.isdecimal() and len(every_us) < WATCHDOG_DIGITS_MAX
    is_watched = bool(address) and is_number and watched == str(pid)
    return Notifier(address, int(every_us) / 1e6 if is_watched else 0)
