"""What is taken from the disk again: of a launch that is over, and of a VM that is deleted."""

import shutil
import sys
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
    """Remove a VM's directory with everything in it; tolerates anything missing."""
    if sys.version_info >= (3, 12):
        shutil.rmtree(vm_directory, onexc=_pass_over_missing)
    else:
        shutil.rmtree(vm_directory, onerror=_pass_over_missing)


def _pass_over_missing(_function: object, _path: str, _error: object) -> None:
    """Go on with the rest after an entry that is gone already; raise what else was caught."""
    if not isinstance(sys.exception(), FileNotFoundError):
        raise
