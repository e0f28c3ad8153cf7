"""What all tests share: signals as a terminal has them, and the built reference guest."""

import os
import signal
from pathlib import Path

import pytest
from chronovisor_guest import build

_DEFAULT = Path(__file__).parents[1] / ".cache" / "guest"


# A shell's background job ignores Ctrl-C, and so would every program that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def guest_dir() -> Path:
    """CHRONOVISOR_GUEST_DIR, else .cache/guest in the repository; built where it is absent."""
    directory = Path(os.environ.get("CHRONOVISOR_GUEST_DIR", _DEFAULT))
    build(directory)
    return directory
