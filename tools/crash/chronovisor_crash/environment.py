"""Finds the project's virtual environment, so that the commands run without activating it."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
VENV_PYTHON = ROOT / ".venv" / "bin" / "python"


def enter() -> None:
    """Go on in the environment that has the packages of log and daemon, or say how to make it."""
    try:
        import qemu.qmp  # noqa: F401

        import eventlog  # noqa: F401
    except ModuleNotFoundError as missing:
        if VENV_PYTHON.exists() and Path(sys.prefix) != VENV_PYTHON.parents[1]:
            os.execv(VENV_PYTHON, [str(VENV_PYTHON), *sys.argv])
        sys.exit(f"{missing}: run tools/demo once, which makes the environment")
