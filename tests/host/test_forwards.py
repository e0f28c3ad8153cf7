"""Forwards with a real QEMU: bound before the guest runs, and a port that was lost is named."""

import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from supervisor.admission.forwarding import can_listen
from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.decide import decide
from supervisor.vm.effects import SpawnQemu
from supervisor.vm.events import Outcome, VmFailed
from supervisor.vm.spec import Forward, Network, NetworkMode
from tests.host.story import Story, life_of
from tests.host.worlds import RealWorld
from tests.vm.states import NOW, STATES

pytestmark = pytest.mark.qemu


@pytest.fixture
def real_world(tmp_path: Path) -> Iterator[RealWorld]:
    world = RealWorld(tmp_path)
    yield world
    world.clear()


@pytest.fixture
def port() -> Iterator[int]:
    """One that the kernel gives to nobody else meanwhile: who asks for it by its number has it."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


async def prepared(story: Story, world: RealWorld, port: int) -> SpawnQemu:
    network = Network(NetworkMode.RESTRICTED, (Forward(8080),))
    manifest = msgspec.structs.replace(await world.manifest(), network=network)
    story.do(fx.PrepareLaunch(1, manifest, (port,)))
    made = await story.until(ob.LaunchPrepared)
    assert made.host_ports == (port,)
    return world.spawn_order_of(manifest, made)


async def test_a_forward_is_bound_from_the_first_word_of_qemu_until_its_last(
    real_world: RealWorld, port: int
) -> None:
    async with life_of(real_world.host()) as story:
        story.do(await prepared(story, real_world, port))
        await story.until(ob.QmpReady)
        assert can_listen(port) is False
        story.do(fx.ExecuteQmp(1, fx.QmpCommand.QUIT))
        await story.until(ob.ProcessExited)
        assert can_listen(port) is True


@pytest.mark.fault("port-given-twice")
async def test_a_port_that_was_taken_in_the_last_instant_is_named_in_the_failure(
    real_world: RealWorld, port: int
) -> None:
    async with life_of(real_world.host()) as story:
        order = await prepared(story, real_world, port)
        with socket.create_server(("127.0.0.1", port)):
            story.do(order)
            exited = await story.until(ob.ProcessExited)
    (*_, failed) = decide(STATES["spawned"], exited, NOW).events
    assert isinstance(failed, VmFailed)
    assert failed.outcome is Outcome.QEMU_FAILED_TO_START
    assert f"127.0.0.1:{port}" in failed.detail
