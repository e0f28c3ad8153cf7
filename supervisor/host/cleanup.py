"""What is taken from the disk again: of a launch that is over, and of a VM that is deleted.

A file that cannot be removed keeps nobody from going on: the rest is removed, and what stays is
told. A launch's leftovers go with its VM.
"""

import logging
import shutil
import sys
from pathlib import Path

from supervisor.host.locks import lock_is_held
from supervisor.host.text import printable
from supervisor.host.transport_keys import KEYS_FILE
from supervisor.vm import layout
from supervisor.vm.layout import LAUNCH_PREFIX

logger = logging.getLogger(__name__)

LAUNCHES_KEPT = 4
"""Launches whose logs are kept: the first and its three restarts, the whole story of the default
restart policy. A VM that is launched again for ever must not fill the disk."""

TOLD_CHARACTERS = 400
"""Of a path and why it stays: its end, which tells most; whoever made it chose its length."""

RELEASED = (
    layout.INPUTS_DISK,
    layout.RESULTS_DISK,
    layout.QMP_SOCKET,
    layout.MONITOR_SOCKET,
    layout.AGENT_SOCKET,
    layout.CONSOLE_SOCKET,
    layout.PIDFILE,
    KEYS_FILE,
)
"""Large files, dead sockets, keys and a PID of nobody; logs stay for whoever asks what happened."""


class Unremovable(Exception):
    """Something cannot be removed; the message says what and why, in at most TOLD_CHARACTERS."""


def release(launch_directory: Path) -> None:
    """Remove what a launch that is over needs no more; tolerates anything missing."""
    for name in RELEASED:
        path = launch_directory / name
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return  # there is nothing below a file
        except OSError as error:
            logger.warning("%s stays until its VM is deleted: %s", path, error.strerror)


def prune(vm_directory: Path, launch: int) -> None:
    """Remove what is left of launches long before ``launch``; one that lives is left alone."""
    for directory in vm_directory.glob(f"{LAUNCH_PREFIX}*"):
        number = directory.name.removeprefix(LAUNCH_PREFIX)
        if number.isdecimal() and int(number) <= launch - LAUNCHES_KEPT:
            _prune(directory)


def _prune(launch_directory: Path) -> None:
    try:
        if not lock_is_held(launch_directory):
            remove(launch_directory)
    except (OSError, Unremovable) as error:
        logger.warning("%s stays until its VM is deleted: %s", launch_directory, error)


def remove(vm_directory: Path) -> None:
    """Remove a VM's directory with everything in it; tolerates anything missing.

    Raises Unremovable once all the rest is gone.
    """
    failed = ""

    def go_on(_function: object, path: str, _error: object) -> None:
        nonlocal failed
        error = sys.exception()
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            failed = failed or f"{path}: {error.strerror or error}"

    if sys.version_info >= (3, 12):
        shutil.rmtree(vm_directory, onexc=go_on)
    else:
        shutil.rmtree(vm_directory, onerror=go_on)
    if failed:
        raise Unremovable(printable(failed)[-TOLD_CHARACTERS:])
