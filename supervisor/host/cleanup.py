"""What is taken from the disk again: of a launch that is over, and of a VM that is deleted."""

import shutil
import sys
from pathlib import Path

from supervisor.host.locks import lock_is_held
from supervisor.vm import layout
from supervisor.vm.layout import LAUNCH_PREFIX

LAUNCHES_KEPT = 4
"""Launches whose logs are kept: the first and its three restarts, the whole story of the default
restart policy. A VM that is launched again for ever must not fill the disk."""

RELEASED = (
    layout.INPUTS_DISK,
    layout.RESULTS_DISK,
    layout.QMP_SOCKET,
    layout.MONITOR_SOCKET,
    layout.AGENT_SOCKET,
    layout.CONSOLE_SOCKET,
    layout.PIDFILE,
)
"""Large files, dead sockets and a PID of nobody; logs stay for whoever asks what happened."""


def release(launch_directory: Path) -> None:
    """Remove what a launch that is over needs no more; tolerates anything missing."""
    for name in RELEASED:
        (launch_directory / name).unlink(missing_ok=True)


def prune(vm_directory: Path, launch: int) -> None:
    """Remove what is left of launches long before ``launch``; one that lives is left alone."""
    for directory in vm_directory.glob(f"{LAUNCH_PREFIX}*"):
        number = directory.name.removeprefix(LAUNCH_PREFIX)
        old = number.isdecimal() and int(number) <= launch - LAUNCHES_KEPT
        if old and not lock_is_held(directory):
            remove(directory)


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
