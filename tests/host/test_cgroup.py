"""Cgroups v2: on directories that stand in for the kernel's, and on a real hierarchy where one is.

What stands in takes what is written; it cannot refuse as the kernel does. What is shown on the real
one is that a process enters, is found there, and that its cgroup can be removed once it is gone.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.host.cgroup import (
    Cgroups,
    NoCgroups,
    Place,
    claim_cgroups,
    find_place,
    limits_in_force,
)
from supervisor.host.confinement import Confinement, containment_of
from supervisor.host.spawn import LAUNCHER
from supervisor.vm.bounds import QemuBounds

BOUNDS = QemuBounds(
    memory_bytes=1 << 30,
    data_bytes=1 << 31,
    tasks=130,
    cpus=3,
    open_files=1024,
    file_bytes=1 << 20,
)
DAEMON = 4711
STRANGER = 4712


def group(directory: Path, controllers: str, *processes: int) -> None:
    """Make what the kernel shows of a cgroup."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup.controllers").write_text(f"{controllers}\n")
    (directory / "cgroup.subtree_control").write_text("\n")
    (directory / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in processes))


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def test_the_daemon_moves_into_a_leaf_and_hands_the_controllers_on(mount: Path) -> None:
    unit = mount / "system.slice" / "chronovisor.service"
    group(unit, "cpuset cpu io memory pids", DAEMON)
    (unit / "daemon").mkdir()
    claim_cgroups(Place(mount, "/system.slice/chronovisor.service"), DAEMON)
    assert (unit / "daemon" / "cgroup.procs").read_text() == str(DAEMON)
    assert (unit / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_a_daemon_that_was_started_in_its_leaf_stays_there(mount: Path) -> None:
    unit = mount / "chronovisor.service"
    group(unit, "memory pids")
    group(unit / "daemon", "", DAEMON)
    cgroups = claim_cgroups(Place(mount, "/chronovisor.service/daemon"), DAEMON)
    assert cgroups.make("iris-1", BOUNDS) == unit / "vm-iris-1" / "cgroup.procs"
    assert (unit / "daemon" / "cgroup.procs").read_text() == f"{DAEMON}\n"


def test_a_launch_gets_the_limits_of_its_manifest(mount: Path) -> None:
    group(mount, "memory pids cpu")
    place = Place(mount, "/vm-iris-1")
    Cgroups(mount, ("memory", "pids", "cpu")).make("iris-1", BOUNDS)
    assert limits_in_force(place) == (
        "memory.max 1073741824",
        "pids.max 130",
        "cpu.max 300000 100000",
    )


def test_a_controller_that_is_not_delegated_is_left_out(mount: Path) -> None:
    group(mount, "pids")
    cgroups = claim_cgroups(Place(mount, "/"), DAEMON)
    cgroups.make("iris-1", BOUNDS)
    assert limits_in_force(Place(mount, "/vm-iris-1")) == ("pids.max 130",)


def test_a_limit_that_is_not_set_is_not_called_one(mount: Path) -> None:
    mount.mkdir()
    (mount / "memory.max").write_text("max\n")
    (mount / "cpu.max").write_text("max 100000\n")
    assert limits_in_force(Place(mount, "/")) == ()


@pytest.mark.parametrize(
    ("controllers", "processes", "reason"),
    [
        ("hugetlb", (DAEMON,), "no memory, pids or cpu controller"),
        ("memory", (DAEMON, STRANGER), "holds other processes as well"),
    ],
)
def test_a_cgroup_that_is_not_the_daemons_own_is_left_alone(
    mount: Path, controllers: str, processes: tuple[int, ...], reason: str
) -> None:
    group(mount, controllers, *processes)
    before = {path: path.read_text() for path in mount.iterdir()}
    with pytest.raises(NoCgroups, match=reason):
        claim_cgroups(Place(mount, "/"), DAEMON)
    assert {path: path.read_text() for path in mount.iterdir()} == before


def test_a_cgroup_that_is_not_there_is_none(mount: Path) -> None:
    with pytest.raises(NoCgroups, match="is not delegated to this daemon"):
        claim_cgroups(Place(mount, "/gone"), DAEMON)


def test_what_launches_left_that_ended_unseen_is_removed_and_nothing_else(mount: Path) -> None:
    group(mount, "memory")
    (mount / "vm-ended-1").mkdir()
    (mount / "vm-alive-1" / "not empty").mkdir(parents=True)
    (mount / "somebody-elses").mkdir()
    claim_cgroups(Place(mount, "/"), DAEMON)
    left = {path.name for path in mount.iterdir() if path.is_dir()}
    assert left == {"vm-alive-1", "somebody-elses"}


@pytest.mark.parametrize(
    ("mountinfo", "cgroup", "place"),
    [
        (
            "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n",
            "0::/user.slice/a b.scope\n",
            Place(Path("/sys/fs/cgroup"), "/user.slice/a b.scope"),
        ),
        (
            "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
            "31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            "4:memory:/elsewhere\n0::/\n",
            Place(Path("/sys/fs/cgroup/unified"), "/"),
        ),
    ],
    ids=["unified", "hybrid"],
)
def test_a_processs_cgroup_is_found(
    tmp_path: Path, mountinfo: str, cgroup: str, place: Place
) -> None:
    assert find_place(a_proc(tmp_path, mountinfo, cgroup), DAEMON) == place


@pytest.mark.parametrize(
    ("mountinfo", "cgroup"),
    [("30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "4:memory:/\n")],
)
def test_a_host_with_cgroup_v1_alone_has_none(tmp_path: Path, mountinfo: str, cgroup: str) -> None:
    with pytest.raises(NoCgroups, match="no cgroup v2 hierarchy"):
        find_place(a_proc(tmp_path, mountinfo, cgroup), DAEMON)


def a_proc(directory: Path, mountinfo: str, cgroup: str) -> Path:
    (directory / "self").mkdir()
    (directory / "self" / "mountinfo").write_text(mountinfo)
    (directory / str(DAEMON)).mkdir()
    (directory / str(DAEMON) / "cgroup").write_text(cgroup)
    return directory


@pytest.fixture
def real() -> Iterator[Path]:
    """A directory of our own in the host's cgroup v2 hierarchy."""
    try:
        directory = find_place(Path("/proc"), os.getpid()).directory / f"test-{os.getpid()}"
        directory.mkdir()
    except (NoCgroups, OSError) as reason:
        pytest.skip(f"no cgroup v2 hierarchy can be written here: {reason}")
    yield directory
    for left in (*directory.glob("*/"), directory):
        left.rmdir()


def test_on_a_real_hierarchy_a_launch_is_found_in_its_cgroup_until_it_is_gone(real: Path) -> None:
    cgroups = Cgroups(real, ())
    procs = cgroups.make("iris-1", BOUNDS)
    with subprocess.Popen(
        [*LAUNCHER, f"cgroup={procs}", "--", "/bin/cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"!")
        process.stdin.flush()
        assert os.read(process.stdout.fileno(), 1) == b"!", "it runs"
        assert find_place(Path("/proc"), process.pid).directory == procs.parent
        cgroups.remove("iris-1")
        assert procs.exists(), "a cgroup with a process in it stays"
        process.stdin.close()
    cgroups.remove("iris-1")
    assert not procs.parent.exists()


def test_without_cgroups_nothing_is_said_to_be_in_force_there() -> None:
    held = containment_of(os.getpid())
    assert held is not None
    grouped = [limit for limit in held.limits if not limit.startswith("RLIMIT_")]
    assert bool(held.cgroup) is bool(grouped)


def test_a_launch_is_ordered_into_its_cgroup_before_anything_else(mount: Path) -> None:
    group(mount, "memory")
    confinement = Confinement(None, claim_cgroups(Place(mount, "/"), DAEMON))
    (first, *rest) = confinement.orders("iris-1", BOUNDS)
    assert first == f"cgroup={mount / 'vm-iris-1' / 'cgroup.procs'}"
    assert {order.partition("=")[0] for order in rest} == {"limit"}
