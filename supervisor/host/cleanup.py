"""What is taken from the disk again: of a launch that is over, and of a VM that is deleted."""

import shutil
from contextlib import suppress
from pathlib import Path

from supervisor.vm import layout

RELEASED = (
    layout.INPUTS_DISK,
    layout.RESULTS_DISK,
    layout.QMP_SOCKET,
    layout.MONITOR_SOCKET,
    layout.AGENT_SOCKET,
    layout.CONSOLE_SOCKET,
)
"""Large files and dead sockets; logs stay for whoever wants to know what happened."""


def release(launch_directory: Path) -> None:
    """Remove what a launch that is over needs no more; tolerates anything missing."""
    for name in RELEASED:
        (launch_directory / name).unlink(missing_ok=True)


def remove(vm_directory: Path) -> None:
    """Remove a VM's directory with everything in it; tolerates that it is missing."""
    with suppress(FileNotFoundError):
        shutil.rmtree(vm_directory)
