"""The argv of a launch, judged by a real QEMU: it starts, frozen, and answers as that launch."""

import shutil
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.host.facts import read_facts
from supervisor.host.sockets import connect
from supervisor.host.spawn import spawn
from supervisor.qmp.client import QmpClient
from supervisor.vm import layout
from supervisor.vm.observations import Image
from supervisor.vm.qemu_argv import launch_uuid, qemu_argv
from supervisor.vm.spec import Machine, VmShape
from tests.host.worlds import OLD_BZIMAGE
from tests.vm.states import IMAGES, MANIFEST, SHA256

QEMU = shutil.which("qemu-system-x86_64") or ""
PATIENCE_S = 30
"""A QEMU starts in a blink; a loaded machine may take its time."""

pytestmark = pytest.mark.qemu


def argv_in(directory: Path, shape: VmShape) -> tuple[str, ...]:
    files = {"kernel": OLD_BZIMAGE, "initrd": bytes(512)}
    disks = {layout.INPUTS_DISK: bytes(512), layout.RESULTS_DISK: bytes(1024)}
    for name, content in (files | disks).items():
        (directory / name).write_bytes(content)
    images = msgspec.structs.replace(
        IMAGES,
        qemu=Image(QEMU, SHA256, 1),
        kernel=Image(str(directory / "kernel"), SHA256, 1),
        initrd=Image(str(directory / "initrd"), SHA256, 1),
        inputs=Image(str(directory / layout.INPUTS_DISK), SHA256, 1),
    )
    manifest = msgspec.structs.replace(MANIFEST, vm=shape)
    return qemu_argv(
        manifest, vm_id="iris", launch=1, directory=str(directory), images=images, accel="tcg"
    )


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
    process = spawn(directory, argv_in(directory, VmShape(machine=machine)), read_facts().boot_id)
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
