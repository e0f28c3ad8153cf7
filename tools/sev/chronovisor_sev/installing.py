"""Putting the simulated machine where the daemon looks for QEMU."""

import shlex
import shutil
import sys
from pathlib import Path

from chronovisor_sev.chip import save_new_chip

TOOLS = Path(__file__).resolve().parents[2]
PACKAGES = (TOOLS / "sev", TOOLS / "transcript")
MODULE = "chronovisor_sev.program"
PROGRAM = "qemu-system-x86_64"


def install(directory: Path, platform: Path) -> Path:
    """Write a program that is QEMU to whoever finds it first on PATH; return it.

    The platform's directory gets new keys, unless it has some. Both directories are opened to
    everybody, because a daemon of root's runs QEMU as somebody else. Raises FileNotFoundError.
    """
    if not (platform / "pdh").exists():
        save_new_chip(platform)
    qemu = shutil.which(PROGRAM)
    if qemu is None:
        raise FileNotFoundError(f"{PROGRAM} is not installed")
    ours = ["--platform", str(platform), "--qemu", qemu, "--"]
    command = shlex.join([sys.executable, "-m", MODULE, *ours])
    path = ":".join(map(str, PACKAGES))
    environment = f"PYTHONPATH={shlex.quote(path)} PYTHONDONTWRITEBYTECODE=1"
    directory.chmod(0o755)
    program = directory / PROGRAM
    program.write_text(f'#!/bin/sh\n{environment} exec {command} "$@"\n')
    program.chmod(0o755)
    return program
