"""The terminal in another mode for a while: however the command ends, it is as it was afterwards.

Left raw, or on its second screen, it shows nobody what they type. So SIGTERM, which would end the
process where it stands, ends it in good order here: it waits while the terminal is being changed,
and while it is being given back.
"""

import signal
import sys
import termios
from collections.abc import Callable, Collection, Iterator
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
        # Now: a terminal that takes no more, after Ctrl-S, would be waited for.
        termios.tcsetattr(terminal, termios.TCSANOW, before)


@contextmanager
def terminations_held() -> Iterator[Collection[int]]:
    """Let SIGTERM do nothing; yield those that came."""
    held: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: held.append(number))
    try:
        yield held
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def terminations_raised(held: Collection[int]) -> Iterator[None]:
    """Let SIGTERM raise SystemExit in the main thread, but only once; also one that was held."""
    hold = signal.getsignal(signal.SIGTERM)
    assert callable(hold)

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, hold)  # another one would get in the way of what this one lets end
        hold(number, frame)
        # As Ctrl-C does: asyncio ends a call for that alone, else it stays behind half done.
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):
            raise SystemExit(ExitCode.TERMINATED)
        interrupt(signal.SIGINT, frame)

    try:
        signal.signal(signal.SIGTERM, end)
        if held:
            raise SystemExit(ExitCode.TERMINATED)
        yield
    except KeyboardInterrupt:
        raise SystemExit(ExitCode.TERMINATED) if held else KeyboardInterrupt() from None
    finally:
        signal.signal(signal.SIGTERM, hold)
