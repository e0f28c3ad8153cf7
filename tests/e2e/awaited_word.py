"""A computation that waits for a word, which reaches its guest whether or not a daemon runs.

A test that needs the guest to do something only after its daemon is dead cannot hope for a sleep:
nobody knows how long a busy machine takes to kill a process.
"""

import socket
from pathlib import Path

from supervisor.vm import layout
from tests.e2e.daemon_process import COMMAND_S

AWAIT_WORD = "read -r word </dev/console"
WORD = b"go"


def give_word(launch: Path) -> None:
    """Type the word on the console of the launch in this directory; nobody may be attached."""
    with socket.socket(socket.AF_UNIX) as console:
        console.settimeout(COMMAND_S)
        console.connect(str(launch / layout.CONSOLE_SOCKET))
        console.sendall(WORD + b"\n")
        echo = b""
        while WORD not in echo:  # who hangs up earlier may not have been heard
            data = console.recv(4096)
            assert data, echo
            echo += data
