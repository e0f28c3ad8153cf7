"""A real QEMU as the daemon holds it: what the kernel says of it, and what it cannot do."""

import os
import pwd
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest

from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.host.confinement import Confinement
from supervisor.host.facts import read_facts
from supervisor.host.host import VmHost
from supervisor.host.qemu_user import QemuUser
from supervisor.host.sockets import connect
from supervisor.vm import effects as fx
from supervisor.vm import layout
from supervisor.vm import observations as ob
from supervisor.vm.bounds import OPEN_FILES
from supervisor.vm.spec import MIB
from tests.host.story import Story, life_of
from tests.host.worlds import VM_ID, RealWorld

pytestmark = pytest.mark.qemu

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run QEMU as another user")
NOBODY = QemuUser("nobody", *pwd.getpwnam("nobody")[2:4], groups=())
HELD = Confinement(NOBODY if os.geteuid() == 0 else None)


class Bench:
    """A world whose QEMUs are held as a daemon of root's holds them."""

    def __init__(self, root: Path) -> None:
        self.world = RealWorld(root)
        self.launch = self.world.directory / "launch-1"

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Story]:
        host = VmHost(
            VM_ID,
            self.world.directory,
            artifacts=self.world.artifacts,
            catalogue=Catalogue(self.launch),
            digests=DigestCache(),
            machine=read_facts(),
            confinement=HELD,
        )
        async with life_of(host) as story:
            yield story

    async def prepared(self, story: Story) -> fx.SpawnQemu:
        story.do(fx.PrepareLaunch(1, await self.world.manifest()))
        return self.world.spawn_order(await story.until(ob.LaunchPrepared))

    async def ready(self, story: Story) -> tuple[int, ob.QmpReady]:
        """Return the PID of a QEMU that answers, and its first word."""
        story.do(await self.prepared(story))
        spawned = await story.until(ob.QemuSpawned)
        return spawned.process.pid, await story.until(ob.QmpReady)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.world.clear()


def status(pid: int) -> dict[str, list[str]]:
    """Return ``/proc/PID/status``: the words behind each name."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def largest_file(pid: int) -> str:
    table = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (words,) = [line.split() for line in table if line.startswith("Max file size")]
    return words[3]


def alter(image: Path) -> None:
    image.chmod(0o600)
    image.write_bytes(image.read_bytes() + b"!")


@as_root
async def test_qemu_is_nobody_without_a_capability_and_behind_a_filter(bench: Bench) -> None:
    async with bench.life() as story:
        pid, _ = await bench.ready(story)
        found = status(pid)
    assert found["Uid"] == [str(NOBODY.uid)] * 4
    assert found["Gid"] == [str(NOBODY.gid)] * 4
    assert found["Groups"] == []
    assert {int(found[name][0], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
    assert found["NoNewPrivs"] == ["1"]
    assert found["Seccomp"] == ["2"], "mode 2 is a filter (proc(5))"


async def test_what_holds_qemu_is_told_as_the_kernel_tells_it(bench: Bench) -> None:
    async with bench.life() as story:
        pid, ready = await bench.ready(story)
        (uid, *_) = status(pid)["Uid"]
        file_size = largest_file(pid)
    held = ready.containment
    assert held is not None
    assert held.user == pwd.getpwuid(int(uid)).pw_name
    limits = dict(limit.split() for limit in held.limits)
    assert limits["RLIMIT_NOFILE"] == str(OPEN_FILES)
    assert limits["RLIMIT_CORE"] == "0"
    assert limits["RLIMIT_FSIZE"] == file_size
    assert int(file_size) < 2**25, "else a log could fill a disk while no daemon runs"


async def test_the_pidfile_is_qemus_from_before_its_first_instruction(bench: Bench) -> None:
    async with bench.life() as story:
        pid, _ = await bench.ready(story)
        assert (bench.launch / layout.PIDFILE).read_text() == f"{pid}\n"


@as_root
async def test_qemu_owns_no_file_and_reaches_none_by_its_path(bench: Bench) -> None:
    async with bench.life() as story:
        await bench.ready(story)
        owners = {path.stat().st_uid for path in bench.launch.iterdir()}
        assert owners == {0}
        assert bench.launch.stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.lstat().st_mode & 0o777 for path in bench.launch.iterdir()}
    assert modes == dict.fromkeys(modes, 0o600)


async def test_a_qemu_that_is_made_to_run_a_program_is_killed_before_it_does(
    bench: Bench, tmp_path: Path
) -> None:
    proof = tmp_path / "escaped"
    async with bench.life() as story:
        await bench.ready(story)
        async with await connect(bench.launch, layout.MONITOR_SOCKET) as monitor:
            await monitor.send_all(f'migrate -d "exec:touch {proof}"\n'.encode())
            exited = await story.until(ob.ProcessExited)
    assert exited.evidence.signal == signal.SIGSYS
    assert not proof.exists()


async def test_a_qemu_that_would_become_somebody_else_is_killed_before_it_does(
    bench: Bench,
) -> None:
    async with bench.life() as story:
        order = await bench.prepared(story)
        story.do(msgspec.structs.replace(order, argv=(*order.argv, "-runas", "nobody")))
        exited = await story.until(ob.ProcessExited)
    assert exited.evidence.signal == signal.SIGSYS


@pytest.mark.parametrize("what", ["kernel", "initrd"])
async def test_an_image_that_changed_after_it_was_hashed_is_not_run(
    bench: Bench, what: str
) -> None:
    async with bench.life() as story:
        order = await bench.prepared(story)
        image = Path(getattr(order.images, what).path)
        alter(image)
        story.do(order)
        failed = await story.until(ob.SpawnFailed)
    assert f"the {what} ({image}) was changed" in failed.detail


async def test_a_qemu_that_is_not_the_one_of_the_intent_is_not_run(bench: Bench) -> None:
    async with bench.life() as story:
        order = await bench.prepared(story)
        story.do(msgspec.structs.replace(order, argv=("/bin/true", *order.argv[1:])))
        failed = await story.until(ob.SpawnFailed)
    assert "was changed" in failed.detail


@as_root
async def test_an_image_that_qemus_user_may_not_read_is_named_with_the_way_out(
    bench: Bench,
) -> None:
    async with bench.life() as story:
        order = await bench.prepared(story)
        os.chmod(order.images.kernel.path, 0o400)
        story.do(order)
        failed = await story.until(ob.SpawnFailed)
    assert f"run: chmod a+r {order.images.kernel.path}" in failed.detail


async def test_a_qemu_that_wants_more_memory_than_it_may_have_fails_and_says_so(
    bench: Bench,
) -> None:
    async with bench.life() as story:
        order = await bench.prepared(story)
        strict = msgspec.structs.replace(order.bounds, data_bytes=64 * MIB)
        story.do(msgspec.structs.replace(order, bounds=strict))
        exited = await story.until(ob.ProcessExited)
    assert exited.evidence.exit_code == 1
    assert "Cannot allocate memory" in exited.evidence.stderr


async def test_a_link_in_the_place_of_the_results_disk_is_not_given_to_qemu(
    bench: Bench, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    async with bench.life() as story:
        order = await bench.prepared(story)
        (bench.launch / layout.RESULTS_DISK).unlink()
        (bench.launch / layout.RESULTS_DISK).symlink_to(elsewhere)
        story.do(order)
        await story.until(ob.SpawnFailed)
    assert elsewhere.read_bytes() == b"precious"


async def test_a_host_without_descriptors_cannot_start_qemu_and_says_so(bench: Bench) -> None:
    async with bench.life() as story:
        order = await bench.prepared(story)
        with few_descriptors():
            story.do(order)
            failed = await story.until(ob.SpawnFailed)
    assert "Too many open files" in failed.detail


async def test_a_host_without_descriptors_cannot_prepare_and_says_so(bench: Bench) -> None:
    manifest = await bench.world.manifest()
    async with bench.life() as story:
        with few_descriptors():
            story.do(fx.PrepareLaunch(1, manifest))
            failed = await story.until(ob.LaunchImpossible)
    assert "Too many open files" in failed.detail


@contextmanager
def few_descriptors() -> Iterator[None]:
    """Let no descriptor be opened for a moment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
