"""The last program before QEMU, run as the daemon runs it, before programs that show themselves."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.host.locks import pidfile_owner
from supervisor.host.spawn import LAUNCHER
from supervisor.vm import layout

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NOBODY = "user=65534:65534:"
STATUS = ("/bin/cat", "/proc/self/status")
LIMITS = ("/bin/cat", "/proc/self/limits")


def launch(*orders: str, program: tuple[str, ...] = STATUS) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*LAUNCHER, *orders, "--", *program], capture_output=True, text=True, check=False
    )


def line(text: str, name: str) -> list[str]:
    """Return the words behind a name at the beginning of a line."""
    (found,) = [row for row in text.splitlines() if row.startswith(name)]
    return found.removeprefix(name).split()


def test_a_limit_that_is_lowered_cannot_be_raised_again() -> None:
    seen = launch("limit=RLIMIT_NOFILE:77", program=LIMITS).stdout
    assert line(seen, "Max open files")[:2] == ["77", "77"]


def test_a_limit_that_is_stricter_already_stays() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    seen = launch("limit=RLIMIT_NOFILE:50", f"limit=RLIMIT_NOFILE:{hard}", program=LIMITS).stdout
    assert line(seen, "Max open files")[:2] == ["50", "50"]


@as_root
def test_a_user_is_taken_for_good_with_none_of_roots_groups_and_capabilities() -> None:
    seen = launch(NOBODY + "123").stdout
    assert line(seen, "Uid:") == line(seen, "Gid:") == ["65534"] * 4
    assert line(seen, "Groups:") == ["123"]
    assert line(seen, "CapEff:") == line(seen, "CapPrm:") == ["0" * 16]


@as_root
def test_what_only_root_may_do_is_done_before_the_user_is_taken(tmp_path: Path) -> None:
    procs = tmp_path / "cgroup.procs"
    procs.touch(0o600)
    assert launch(f"cgroup={procs}", NOBODY).returncode == 0
    assert procs.read_text() == "0"


def test_the_pidfile_is_locked_by_the_program_that_runs_at_last(tmp_path: Path) -> None:
    pidfile = tmp_path / layout.PIDFILE
    with pidfile.open("w") as file:
        file.write("what an earlier one wrote, which was longer\n")
        file.flush()
        with subprocess.Popen(
            [*LAUNCHER, f"pidfile={file.fileno()}", "--", "/bin/cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(file.fileno(),),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"!")
            process.stdin.flush()
            assert os.read(process.stdout.fileno(), 1) == b"!", "it runs"
            assert pidfile_owner(tmp_path) == process.pid
            assert pidfile.read_text() == f"{process.pid}\n"
            process.stdin.close()
    assert pidfile_owner(tmp_path) is None


@pytest.mark.parametrize(
    ("orders", "complaint"),
    [
        (("cgroup=/nonexistent/cgroup.procs",), "No such file or directory"),
        (("pidfile=99",), "Bad file descriptor"),
    ],
)
def test_an_order_that_fails_starts_nothing_and_is_told_in_one_line(
    orders: tuple[str, ...], complaint: str
) -> None:
    done = launch(*orders)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("QEMU (/bin/cat) cannot be started: ")
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_program_that_is_missing_is_told_in_one_line() -> None:
    done = launch(program=("/nonexistent/qemu",))
    assert done.returncode == 1
    assert "(/nonexistent/qemu) cannot be started" in done.stderr


def test_the_program_inherits_the_environment_as_it_was_given() -> None:
    given = {"PATH": os.defpath, "LANG": "C.UTF-8"}
    done = subprocess.run(
        [*LAUNCHER, "--", "/usr/bin/env"], capture_output=True, text=True, check=True, env=given
    )
    assert dict(row.split("=", 1) for row in done.stdout.splitlines()) == given


def test_nothing_but_the_standard_library_is_needed(tmp_path: Path) -> None:
    copy = tmp_path / "launcher.py"
    copy.write_bytes(Path(LAUNCHER[-1]).read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", "-S", copy, "--", "/bin/true"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
