"""The daemon under test: a process that is started, killed, and started again on the same state."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from chronovisor_crash.scene import ANY_PORTS

START_S = 60.0
"""A daemon that recovers some VMs on a busy host serves within seconds."""
LEAVE_S = 60.0
"""In good order it leaves at once; its VMs live on."""


class DidNotStart(Exception):
    """The daemon ended before it served; the message is what it said last."""


class DaemonUnderTest:
    """One state directory, and the life of the daemon that serves it now."""

    def __init__(
        self, state_dir: Path, catalogue: Path, output: Path, options: tuple[str, ...] = ()
    ) -> None:
        self.state_dir = state_dir
        self._catalogue = catalogue
        self._output = output
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.lives = 0
        self.greeting = ""
        """What it said when it served: one line of JSON."""

    @property
    def pid(self) -> int | None:
        """The process of this life, if there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin a life; return when it serves. Raises DidNotStart."""
        with self._output.open("a") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "supervisor", "serve", "--json", *ANY_PORTS, *self._options],
                stdout=subprocess.PIPE,
                stderr=output,
                env=self._environment(),
                text=True,
            )
        assert self._process.stdout is not None
        self.greeting = _line_within(self._process.stdout, START_S)
        if not self.greeting:
            self.kill()
            raise DidNotStart(self.last_words())
        self.lives += 1

    def kill(self) -> None:
        """End this life as a power cut of the process would."""
        self._end(signal.SIGKILL)

    def leave(self) -> int:
        """End this life in good order; return the exit code."""
        return self._end(signal.SIGTERM)

    def ended(self) -> int | None:
        """Return the exit code of a life that ended by itself."""
        return None if self._process is None else self._process.poll()

    def last_words(self) -> str:
        """Return the end of what all lives wrote on stderr."""
        lines = self._output.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-20:])

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        code = process.wait(LEAVE_S)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def _environment(self) -> dict[str, str]:
        places = {
            "CHRONOVISOR_STATE_DIR": str(self.state_dir),
            "CHRONOVISOR_CATALOGUE": str(self._catalogue),
        }
        return {**os.environ, **places}


def _line_within(stream: IO[str], seconds: float) -> str:
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(stream.readline()), daemon=True)
    reader.start()
    reader.join(seconds)
    return found[0] if found else ""
