"""Keys that the tests make themselves, once, and the public vectors where they are at hand."""

import os
from pathlib import Path

import pytest

from tests.sev.amd import Generation, new_generation
from tests.sev.chip import Chip, new_chip

VARIABLE = "CHRONOVISOR_SEV_VECTORS"
BESIDE = Path(__file__).parents[3] / "shared" / "sev-vectors"


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of public vectors; no part of the repository."""
    folder = Path(os.environ.get(VARIABLE, BESIDE))
    if not (folder / "KAT.json").is_file():
        pytest.skip(f"no public vectors in {folder}; {VARIABLE} may name their folder")
    return folder


@pytest.fixture(scope="session")
def generation() -> Generation:
    return new_generation(2048)


@pytest.fixture(scope="session")
def other_generation() -> Generation:
    return new_generation(4096)


@pytest.fixture(scope="session")
def chip(generation: Generation) -> Chip:
    return new_chip(generation)
