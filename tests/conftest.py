"""The built reference guest, once per test session."""

import os
from pathlib import Path

import pytest
from chronovisor_guest import build

_DEFAULT = Path(__file__).parents[1] / ".cache" / "guest"


@pytest.fixture(scope="session")
def guest_dir() -> Path:
    """CHRONOVISOR_GUEST_DIR, else .cache/guest in the repository; built where it is absent."""
    directory = Path(os.environ.get("CHRONOVISOR_GUEST_DIR", _DEFAULT))
    build(directory)
    return directory
