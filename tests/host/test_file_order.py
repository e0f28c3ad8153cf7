"""Effects on the files of a VM happen one after another, in the order in which they were given.

What holds an effect up is the clock of the catalogue that it reads: it tells no time before the
test has written to a FIFO, and until then the thread that reads is where it was.
"""

import errno
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from supervisor.artifacts.catalogue import FILE, Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.host.facts import HostFacts
from supervisor.host.host import VmHost
from supervisor.vm import effects as fx
from supervisor.vm import layout
from supervisor.vm import observations as ob
from supervisor.vm.spec import ByName, Manifest
from tests.host.story import PATIENCE_S, Story, life_of
from tests.host.worlds import VM_ID, RealWorld

MACHINE = HostFacts(boot_id="boot", qemu="/bin/true", kvm_obstacle="there is no /dev/kvm")
NOTHING = json.dumps({"format": 1, "entries": {}}).encode()


class Held:
    """A reader who waits at a FIFO."""

    def __init__(self, writer: int) -> None:
        self._writer = writer

    async def goes_on(self) -> None:
        """Let it read, but not before everybody who does not wait for it has done his work."""
        threads = trio.to_thread.current_default_thread_limiter()
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(PATIENCE_S):
            while threads.borrowed_tokens > 1:
                await trio.testing.wait_all_tasks_blocked(0.001)
        await trio.testing.wait_all_tasks_blocked()
        os.write(self._writer, b"go on")


@asynccontextmanager
async def held_at(fifo: Path) -> AsyncIterator[Held]:
    """Wait until somebody reads ``fifo``; at the end of the block it reads the end of the file."""
    writer = await writer_of(fifo)
    try:
        yield Held(writer)
    finally:
        os.close(writer)


async def writer_of(fifo: Path) -> int:
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:  # what is said while nobody reads
                    raise
            await trio.testing.wait_all_tasks_blocked(0.001)


class Place:
    """A VM whose host reads a catalogue of nothing, as slowly as a test likes."""

    def __init__(self, root: Path) -> None:
        self.world = RealWorld(root)
        self.launch = self.world.directory / "launch-1"
        self.directory = root / "catalogue"
        self.directory.mkdir()
        (self.directory / FILE).write_bytes(NOTHING)
        self.catalogue = root / "catalogue.fifo"
        os.mkfifo(self.catalogue)

    async def manifest(self) -> Manifest:
        manifest = await self.world.manifest()
        shape = msgspec.structs.replace(manifest.vm, kernel=ByName("a-kernel"))
        return msgspec.structs.replace(manifest, vm=shape)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Story]:
        host = VmHost(
            VM_ID,
            self.world.directory,
            artifacts=self.world.artifacts,
            catalogue=Catalogue(self.directory, now_ns=self._now_ns),
            digests=DigestCache(),
            machine=MACHINE,
        )
        async with life_of(host) as story:
            yield story

    def _now_ns(self) -> int:
        self.catalogue.read_bytes()
        return time.time_ns()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_removal_waits_for_the_preparation_that_it_follows(place: Place) -> None:
    async with place.life() as story:
        story.do(fx.PrepareLaunch(1, await place.manifest()))
        async with held_at(place.catalogue) as preparation:
            story.do(fx.RemoveFiles(1))
            await preparation.goes_on()
        await story.until(ob.FilesRemoved)
        assert story.kinds() == ["LaunchImpossible", "FilesRemoved"]
        assert not place.world.directory.exists()


async def test_a_release_waits_for_the_preparation_that_it_follows(place: Place) -> None:
    inputs = place.launch / layout.INPUTS_DISK
    async with place.life() as story:
        story.do(fx.PrepareLaunch(1, await place.manifest()))
        async with held_at(place.catalogue) as preparation:
            story.do(fx.ReleaseLaunch(1, str(place.launch)))
            await preparation.goes_on()
            assert inputs.exists()
        story.do(fx.RemoveFiles(1))
        await story.until(ob.FilesRemoved)


async def test_a_collection_takes_its_turn_and_a_removal_waits_for_it(place: Place) -> None:
    async with place.life() as story:
        story.do(fx.PrepareLaunch(1, await place.manifest()))
        async with held_at(place.catalogue) as preparation:
            story.do(fx.CollectResult(1, str(place.launch), 1024))
            await trio.testing.wait_all_tasks_blocked()
            story.do(fx.RemoveFiles(1))
            await preparation.goes_on()
        await story.until(ob.FilesRemoved)
        assert story.kinds() == ["LaunchImpossible", "ResultRefused", "FilesRemoved"]
        assert not place.world.directory.exists()
