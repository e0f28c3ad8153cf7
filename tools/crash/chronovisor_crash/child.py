"""A writer in a process of its own: forked, so that nothing is imported again, and killed at will.

What it acknowledged is what came through its pipe; a line that was not written whole was not said.
"""

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Callable

SECONDS = 20
"""A life takes some milliseconds, under strace some hundred; longer means that it hangs."""

_PR_SET_PTRACER = 0x59616D61
_ANYONE = -1
FAILED = 3
"""Exit status of a writer whose log ended with an error."""


ERROR = "error"
"""First word of the line that tells which one."""


class ChildHung(Exception):
    """The writer neither spoke nor ended."""


class Voice:
    """The writer's end of both pipes."""

    def __init__(self, out: int, into: int) -> None:
        self._out = out
        self._into = into

    def say(self, line: str) -> None:
        """Tell something; after this it counts as told."""
        os.write(self._out, f"{line}\n".encode())

    def wait(self) -> None:
        """Wait for leave to go on."""
        if not os.read(self._into, 1):
            os._exit(FAILED)


class Child:
    """The harness's end: what was said up to now, and how it ended."""

    def __init__(self, live: Callable[[Voice], None]) -> None:
        self.lines: list[str] = []
        self._rest = b""
        self._out, out = os.pipe()
        into, self._into = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._out)
            os.close(self._into)
            _live_and_exit(live, Voice(out, into))
        os.close(out)
        os.close(into)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)
        os.close(self._into)

    def let_go_on(self) -> None:
        """Answer one `Voice.wait`; a dead child hears nothing."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._into, b".")

    def hear(self, seconds: float) -> bool:
        """Take what is said within that time; False at its end or the child's."""
        if not select.select([self._out], [], [], seconds)[0]:
            return False
        said = os.read(self._out, 65536)
        *whole, self._rest = (self._rest + said).split(b"\n")
        self.lines += [line.decode() for line in whole]
        return bool(said)

    def hear_next(self) -> bool:
        """Wait for what is said next, however slow the machine is; False at its end.

        Raises ChildHung.
        """
        if not select.select([self._out], [], [], SECONDS)[0]:
            self.kill()
            raise ChildHung(f"the writer said nothing for {SECONDS} s")
        return self.hear(0)

    def hear_out(self) -> None:
        """Listen until it ends. Raises ChildHung."""
        while self.hear_next():
            pass

    @property
    def error(self) -> str:
        """What it said of its own failure; empty where it had none."""
        return self.lines[-1] if self.lines and self.lines[-1].startswith(ERROR) else ""

    def kill(self) -> None:
        """SIGKILL; what it said before can still be heard."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Hear the rest, and give its exit status, negative for a signal."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        while self.hear(0):
            pass
        return status


def listen_for(child: Child, lines: int, seconds: float) -> None:
    """Listen until so many lines were said, and so long after that, or until it ended.

    Raises ChildHung.
    """
    while len(child.lines) < lines:
        if not child.hear_next():
            return
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if not child.hear(left):
            return


def _live_and_exit(live: Callable[[Voice], None], voice: Voice) -> None:
    status = FAILED
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYONE, 0, 0, 0)
        live(voice)
        status = 0
    except Exception as error:
        voice.say(f"{ERROR} {error!r}")
    finally:
        os._exit(status)
