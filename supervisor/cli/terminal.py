"""The terminal in another mode for a while: however the command ends, it is as it was afterwards.

Left raw, or on its second screen, it shows nobody what they type. So SIGTERM, which would end the
process where it stands, ends it in good order here.
"""

import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from supervisor.cli.exits import ExitCode


@contextmanager
def terminal_mode(change: Callable[[int], object]) -> Iterator[int]:
    """Yield the terminal that is typed on, changed. Raises termios.error if stdin is none."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        change(terminal)
        yield terminal
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


@contextmanager
def terminations_raised() -> Iterator[None]:
    """Let SIGTERM raise SystemExit in the main thread."""
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.TERMINATED)
