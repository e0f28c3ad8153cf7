"""The worlds of the contract suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.worlds import FakeWorld, RealWorld, SimulatedWorld, World
from tests.simulation.contract import CalmWorld


@pytest.fixture(params=["fake", "calm", "simulated", pytest.param("real", marks=pytest.mark.qemu)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "fake":
        yield FakeWorld()
    elif request.param == "calm":
        yield CalmWorld()
    else:
        simulated = request.param == "simulated"
        real = SimulatedWorld(tmp_path) if simulated else RealWorld(tmp_path)
        yield real
        real.clear()
