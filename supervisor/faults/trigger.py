"""When a fault happens: at the n-th time that what it waits for is met."""

import os
import signal
from typing import Generic, TypeVar

from supervisor.faults.plan import Fault

F = TypeVar("F", bound=Fault)


class Trigger(Generic[F]):
    """One fault of the plan, and how often its moment was met in this life of the daemon."""

    def __init__(self, fault: F) -> None:
        self.fault = fault
        self.met = 0

    @property
    def happened(self) -> bool:
        """Whether the fault's time has come."""
        return self.met >= self.fault.nth

    def meet(self) -> bool:
        """Count one meeting; return whether it is the one at which the fault happens."""
        self.met += 1
        return self.met == self.fault.nth


def kill_the_daemon() -> None:
    """End this process as a crash ends it: at once, and without a last word."""
    os.kill(os.getpid(), signal.SIGKILL)
