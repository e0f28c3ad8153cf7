"""What happens to the daemon, its VMs and its disk meanwhile."""

import errno
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path

from chronovisor_soak import census
from chronovisor_soak.daemon import DaemonUnderTest

FILL_CHUNK = 1 << 20
FULL_S = 3.0
"""How long the disk stays full: several requests of every client."""
FROZEN_S = 4.0
"""How long a QEMU is stopped by a signal: longer than its pulse may fail to come."""


class Trouble(Enum):
    """Kinds of bad luck."""

    KILL_DAEMON = "daemon killed"
    LEAVE_DAEMON = "daemon left and came again"
    KILL_QEMU = "QEMU killed"
    FREEZE_QEMU = "QEMU frozen"
    FULL_DISK = "disk full"


WEIGHTS = {
    Trouble.KILL_DAEMON: 5,
    Trouble.LEAVE_DAEMON: 1,
    Trouble.KILL_QEMU: 4,
    Trouble.FREEZE_QEMU: 2,
    Trouble.FULL_DISK: 1,
}


class Fate:
    """Chooses what goes wrong, and does it."""

    def __init__(
        self, daemon: DaemonUnderTest, disk: Path | None, seed: int, wait: Callable[[float], object]
    ) -> None:
        self._daemon = daemon
        self._disk = disk
        self._random = random.Random(seed)
        self._wait = wait
        self.count: Counter[str] = Counter()
        """What happened, and how often."""

    def strike(self) -> None:
        """Let one thing go wrong. Raises DidNotStart where the daemon does not come again."""
        weights = {**WEIGHTS, Trouble.FULL_DISK: 0} if self._disk is None else WEIGHTS
        (trouble,) = self._random.choices(list(weights), list(weights.values()))
        match trouble:
            case Trouble.KILL_DAEMON:
                self._daemon.kill()
                self._daemon.start()
            case Trouble.LEAVE_DAEMON:
                self._daemon.leave()
                self._daemon.start()
            case Trouble.KILL_QEMU:
                if self._signal(signal.SIGKILL) is None:
                    return  # nothing ran, so nothing went wrong
            case Trouble.FREEZE_QEMU:
                if (victim := self._signal(signal.SIGSTOP)) is None:
                    return
                self._thaw(victim)
            case Trouble.FULL_DISK:
                assert self._disk is not None
                self._fill(self._disk)
        self.count[trouble.value] += 1

    def _signal(self, number: signal.Signals) -> int | None:
        alive = [pid for pid, _ in census.qemus(self._daemon.state_dir)]
        if not alive:
            return None
        victim = self._random.choice(alive)
        try:
            os.kill(victim, number)
        except ProcessLookupError:
            return None
        return victim

    def _thaw(self, victim: int) -> None:
        self._wait(FROZEN_S)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)

    def _fill(self, disk: Path) -> None:
        ballast = disk / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                with suppress(OSError):
                    while True:
                        file.write(bytes(FILL_CHUNK))
                self._wait(FULL_S)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            ballast.unlink(missing_ok=True)
        # A daemon whose log could not be written has ended, as it must; it is started again.
        if self._daemon.ended() is not None:
            self.count["daemon ended by a full disk"] += 1
            self._daemon.kill()
            self._daemon.start()
