"""strace, attached to a writer that waits: it counts calls from there on."""

import contextlib
import os
import select
import shutil
import subprocess
import time

from chronovisor_crash.child import SECONDS, Child, Voice

_ATTACHED = b"attached"


class TracingRefused(Exception):
    """strace could not attach; the message is its own."""


class Tracer:
    """Attached while the block runs; `lines` is what it traced."""

    def __init__(self, pid: int, expression: str) -> None:
        self.lines: list[str] = []
        self._strace = subprocess.Popen(
            ["strace", "-p", str(pid), "-e", "signal=none", "-e", expression],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> "Tracer":
        assert self._strace.stderr is not None
        said = b""
        until = time.monotonic() + SECONDS
        while _ATTACHED not in said:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._strace.stderr], [], [], left)[0]:
                self._end()
                raise TracingRefused("strace neither attached nor refused to")
            more = os.read(self._strace.stderr.fileno(), 4096)
            if not more:
                self._end()
                raise TracingRefused(said.decode(errors="replace").strip())
            said += more
        return self

    def __exit__(self, *_: object) -> None:
        self.lines = self._end().decode(errors="replace").splitlines()

    def _end(self) -> bytes:
        """The traced process is dead by now, or of no interest."""
        try:
            return self._strace.communicate(timeout=SECONDS)[1]
        except subprocess.TimeoutExpired:
            self._strace.kill()
            return self._strace.communicate()[1]


def why_no_tracing() -> str:
    """Why strace cannot be used here; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with Child(Voice.wait) as child:
        try:
            with Tracer(child.pid, "trace=none"):
                child.let_go_on()
                child.hear_out()
        except TracingRefused as refused:
            return f"strace may not trace here ({refused})"
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.wait()
    return ""
