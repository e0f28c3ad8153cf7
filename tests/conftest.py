"""What all tests share: signals as a terminal has them, examples that take their time, a guest."""

import os
import signal
from pathlib import Path

import hypothesis
import pytest
from chronovisor_guest import build

_DEFAULT = Path(__file__).parents[1] / ".cache" / "guest"


# A shell's background job ignores Ctrl-C, and so would every program that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An example that took long says something of the machine, and nothing of what is tested.
hypothesis.settings.register_profile(
    "any-machine",
    hypothesis.settings.default,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any-machine")


@pytest.fixture(scope="session")
def guest_dir() -> Path:
    """CHRONOVISOR_GUEST_DIR, else .cache/guest in the repository; built where it is absent."""
    directory = Path(os.environ.get("CHRONOVISOR_GUEST_DIR", _DEFAULT))
    build(directory)
    return directory
