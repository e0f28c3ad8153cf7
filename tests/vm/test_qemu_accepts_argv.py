"""The argv of a launch, judged by a real QEMU: it starts, frozen, and answers as that launch."""

import hashlib
import shutil
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.artifacts.digest_cache import DigestCache
from supervisor.host.facts import read_facts
from supervisor.host.launch_files import open_files
from supervisor.host.process import Process
from supervisor.host.sockets import connect
from supervisor.host.spawn import spawn
from supervisor.qmp.client import QmpClient
from supervisor.vm import layout
from supervisor.vm.bounds import bounds
from supervisor.vm.effects import SpawnQemu
from supervisor.vm.observations import Image
from supervisor.vm.qemu_argv import launch_uuid, qemu_argv
from supervisor.vm.spec import Machine, VmShape
from tests.host.worlds import OLD_BZIMAGE
from tests.vm.states import IMAGES, MANIFEST

QEMU = shutil.which("qemu-system-x86_64") or ""
PATIENCE_S = 120
"""A QEMU starts in a blink; a loaded machine may take its time."""

pytestmark = pytest.mark.qemu


def order_in(directory: Path, shape: VmShape) -> SpawnQemu:
    files = {"kernel": OLD_BZIMAGE, "initrd": bytes(512)}
    disks = {layout.INPUTS_DISK: bytes(512), layout.RESULTS_DISK: bytes(1024)}
    for name, content in (files | disks).items():
        private(directory / name, content)
    images = msgspec.structs.replace(
        IMAGES,
        qemu=image(Path(QEMU)),
        kernel=image(directory / "kernel"),
        initrd=image(directory / "initrd"),
        inputs=image(directory / layout.INPUTS_DISK),
    )
    manifest = msgspec.structs.replace(MANIFEST, vm=shape)
    argv = qemu_argv(
        manifest, vm_id="iris", launch=1, directory=str(directory), images=images, accel="tcg"
    )
    uuid, limits = launch_uuid("iris", 1), bounds(manifest, "tcg")
    return SpawnQemu(1, str(directory), argv, uuid, 4096, images, limits)


def private(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)


def image(path: Path) -> Image:
    return Image(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)


def started(directory: Path, shape: VmShape) -> Process:
    order = order_in(directory, shape)
    with open_files(order, DigestCache(), None) as files:
        return spawn(directory, order.argv, read_facts().boot_id, files)


async def first_words(directory: Path) -> tuple[object, object]:
    """Return the UUID and the run state of the QEMU that serves ``directory``; end it."""
    async with (
        await connect(directory, layout.QMP_SOCKET) as stream,
        trio.open_nursery() as nursery,
    ):
        client = QmpClient(stream)
        nursery.start_soon(client.run)
        await client.negotiate(deadline_s=PATIENCE_S)
        uuid = await client.execute("query-uuid", {}, deadline_s=PATIENCE_S)
        status = await client.execute("query-status", {}, deadline_s=PATIENCE_S)
        await client.execute("quit", {}, deadline_s=PATIENCE_S)
    return uuid, status


@pytest.mark.parametrize("machine", Machine)
@pytest.mark.parametrize("name", ["launch-1", "a,b=c d"], ids=["plain", "awkward"])
async def test_a_real_qemu_starts_frozen_and_is_that_launch(
    tmp_path: Path, name: str, machine: Machine
) -> None:
    directory = tmp_path / name
    directory.mkdir()
    process = started(directory, VmShape(machine=machine, watchdog=True))
    try:
        with trio.fail_after(PATIENCE_S):
            uuid, status = await first_words(directory)
            exited = await process.wait_exited()
    finally:
        process.close()
    complaint = (directory / layout.STDERR_LOG).read_text()
    assert uuid == {"UUID": launch_uuid("iris", 1)}
    assert isinstance(status, dict)
    assert status["status"] == "prelaunch"
    assert (exited.exit_code, complaint) == (0, "")
