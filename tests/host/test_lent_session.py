"""An owner's session as QEMU gets it: memory that another user reads, nobody changes, no file."""

import os
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.artifacts.digest_cache import DigestCache
from supervisor.host.launch_files import open_files
from supervisor.vm.confidential import GuestSession
from supervisor.vm.effects import SpawnQemu
from supervisor.vm.layout import InheritedFd
from supervisor.vm.observations import LaunchPrepared
from tests.host.test_prepare import Bench
from tests.host.worlds import order_to_spawn

NOBODY = 65534
TEXTS = {InheritedFd.GODH_CERT: b"Z29kaA==", InheritedFd.SESSION: b"c2Vzc2lvbg=="}
SESSION = GuestSession(godh_cert="Z29kaA==", session_blob="c2Vzc2lvbg==")


async def order(root: Path) -> SpawnQemu:
    bench = Bench(root)
    manifest = await bench.world.manifest()
    prepared = bench.prepare(manifest)
    assert isinstance(prepared, LaunchPrepared)
    argv = (prepared.images.qemu.path,)
    return msgspec.structs.replace(order_to_spawn(prepared, argv, manifest), session=SESSION)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_another_user_reads_the_session_by_its_descriptor(tmp_path: Path) -> None:
    with open_files(await order(tmp_path), DigestCache(), None) as files:
        for number, text in TEXTS.items():
            said = await trio.run_process(
                ("/bin/cat", f"/proc/self/fd/{files[number]}"),
                pass_fds=(files[number],),
                user=NOBODY,
                group=NOBODY,
                extra_groups=(),
                capture_stdout=True,
            )
            assert said.stdout == text


async def test_nobody_changes_the_session_and_no_file_holds_it(tmp_path: Path) -> None:
    spawn = await order(tmp_path)
    with open_files(spawn, DigestCache(), None) as files:
        for number in TEXTS:
            with pytest.raises(PermissionError):
                os.pwrite(files[number], b"x", 0)
            with pytest.raises(PermissionError):
                os.ftruncate(files[number], 0)
    assert not [text for text in TEXTS.values() for kept in everything(tmp_path) if text in kept]


def everything(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
