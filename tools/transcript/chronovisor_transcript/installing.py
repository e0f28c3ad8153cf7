"""Putting the simulated QEMU where the daemon looks for the real one."""

import shlex
import sys
from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[1]
MODULE = "chronovisor_transcript.simulated_qemu"
PROGRAM = "qemu-system-x86_64"


def install(directory: Path, script: Path | None = None) -> Path:
    """Write a program that is QEMU to whoever finds it first on PATH; return it."""
    chosen = ("--script", str(script)) if script else ()
    # Without site: the standard library is enough, and it starts in a tenth of the time.
    command = shlex.join([sys.executable, "-S", "-m", MODULE, *chosen, "--"])
    program = directory / PROGRAM
    environment = f"PYTHONPATH={shlex.quote(str(PACKAGES))} PYTHONDONTWRITEBYTECODE=1"
    program.write_text(f'#!/bin/sh\n{environment} exec {command} "$@"\n')
    program.chmod(0o755)
    return program
