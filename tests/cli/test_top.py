"""`top`: one picture where nothing is redrawn, and a terminal that is given back as it was."""

import json
import os
import pty
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import pytest
from chronovisor_api import v1
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from supervisor.cli.exits import ExitCode
from supervisor.cli.observing import Meter, Picture, Usage
from supervisor.cli.picturing import drawn
from tests.cli.conftest import HANG_S, IMPORTED, TERMINAL_BYTES, Run
from tests.cli.peer import START, Peer, serving

Mode = list[int | list[bytes | int]]
ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?1049l"
"""A terminal's other screen, which full-screen programs draw on."""


def lines_of(picture: Picture, columns: int, lines: int) -> list[str]:
    console = Console(width=columns, markup=False, highlight=False, emoji=False, color_system=None)
    with console.capture() as captured:
        console.print(drawn(picture, "here", columns, lines))
    return captured.get().splitlines()


def vm(number: int, phase: v1.Phase = v1.Phase.RUNNING) -> v1.Vm:
    return v1.Vm(
        vm_id=f"vm-{number}", name="a long name of a VM" * 3, phase=phase, created_at=START
    )


EVENT = {"time": "2026-01-02T03:04:05Z", "stream": "vm/a", "type": "vm.vm-failed.v9", "data": {}}


@given(
    vms=st.integers(0, 40),
    events=st.integers(0, 40),
    columns=st.integers(60, 220),
    lines=st.integers(12, 60),
    away=st.sampled_from(["", "no daemon answers at unix:/a/long/way: start one " * 4]),
)
def test_a_picture_never_exceeds_its_terminal(
    vms: int, events: int, columns: int, lines: int, away: str
) -> None:
    many = tuple(vm(number) for number in range(vms))
    seen = lines_of(Picture(START, many, {}, (EVENT,) * events, away), columns, lines)
    assert len(seen) <= lines
    assert all(len(line) <= columns for line in seen)
    assert not events or any("vm-failed" in line for line in seen)


def test_the_busiest_stand_first_and_those_without_room_are_counted() -> None:
    usage = {"vm-7": Usage(1.5, 3 << 20), "vm-3": Usage(0.25, 1 << 20)}
    many = tuple(vm(number) for number in range(9))
    picture = Picture(START + timedelta(seconds=90), many, usage, (EVENT,) * 50)
    rows = lines_of(picture, 80, 12)[4:]
    assert rows[0].split() == ["vm-7", "running", "1m", "150%", "3.0", "MiB"]
    assert rows[1].split() == ["vm-3", "running", "1m", "25%", "1.0", "MiB"]
    assert rows[2].split() == ["vm-0", "running", "1m", "-", "-"]
    assert rows[4].strip() == "and 5 more"


def test_what_a_process_uses_is_measured_since_the_last_look() -> None:
    meter, here = Meter(), {"here": os.getpid(), "gone": 2**22 + 1}
    first = meter.measure(here)
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    second = meter.measure(here)
    assert first.keys() == second.keys() == {"here"}
    assert second["here"].cpu > 0
    assert second["here"].memory_bytes > 1 << 20


def test_where_nothing_is_redrawn_one_picture_is_printed(peer: Peer, run: Run) -> None:
    peer.supervisor.add(v1.Manifest(name="completed"))
    peer.supervisor.vms["ours"] = vm(1)
    peer.supervisor.vms["hostile"] = v1.Vm(
        vm_id="hostile", name="\x1b[2Jgone", phase=v1.Phase.PAUSED, created_at=START
    )
    told = run("top")
    assert told.exit_code == 0
    assert "2 VMs: 1 running, 1 paused" in told.stdout
    assert "completed" not in told.stdout.partition("PROGRESS")[2].partition("\n\n")[0]
    assert "�[2Jgone" in told.stdout
    assert "\x1b" not in told.stdout
    assert "3 VMs" in run("top", "--all").stdout


def test_a_script_gets_one_picture(peer: Peer, run: Run) -> None:
    peer.supervisor.vms["ours"] = v1.Vm(vm_id="ours", phase=v1.Phase.RUNNING, pid=os.getpid())
    told = json.loads(run("top", "--json").stdout)
    assert told.keys() == {"time", "vms", "events"}
    (ours,) = told["vms"]
    assert (ours["vm_id"], ours["phase"]) == ("ours", "running")
    assert ours["usage"]["memory_bytes"] > 1 << 20


def test_who_may_not_know_how_long_the_log_is_sees_his_own(peer: Peer, run: Run) -> None:
    peer.supervisor.add(v1.Manifest(name="completed"))
    peer.supervisor.refusal = (Status.PERMISSION_DENIED, "this is not for parties")
    told = json.loads(run("top", "--all", "--json").stdout)
    assert [vm["vm_id"] for vm in told["vms"]] == ["vm-1"]
    assert {event["stream"] for event in told["events"]} == {"vm/vm-1"}


def test_without_a_daemon_it_says_so_and_ends(run: Run) -> None:
    told = run("top")
    assert (told.exit_code, told.stdout) == (3, "")
    assert "no daemon answers" in told.stderr


class Shown(NamedTuple):
    """`top`, our side of its terminal, and the terminal's mode before."""

    process: "Popen[bytes]"
    terminal: int
    before: Mode


@contextmanager
def shown(state_dir: Path) -> Iterator[Shown]:
    """`top` on a terminal of its own."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 80))
    before = termios.tcgetattr(ours)
    around = {**os.environ, "PYTHONPATH": IMPORTED, "TERM": "xterm"}
    around.pop("COLUMNS", None)
    command = [sys.executable, "-m", "supervisor", "--state-dir", str(state_dir)]
    with Popen(
        [*command, "top", "--every", "200ms"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=around,
    ) as process:
        try:
            yield Shown(process, ours, before)
        finally:
            process.kill()
            os.close(ours)
            os.close(theirs)


def until(terminal: int, words: bytes) -> bytes:
    """What a terminal shows, up to these words."""
    seen = b""
    while words not in seen:
        seen += os.read(terminal, TERMINAL_BYTES)
    return seen


@pytest.mark.timeout(HANG_S * 2)
def test_q_quits_and_the_terminal_is_as_it_was(peer: Peer, state_dir: Path) -> None:
    peer.supervisor.vms["ours"] = vm(1)
    with shown(state_dir) as (process, terminal, before):
        until(terminal, ENTERED)
        until(terminal, b"1 VM: 1 running")
        os.write(terminal, b"q")
        until(terminal, LEFT)
        assert process.wait(HANG_S) == 0
        assert termios.tcgetattr(terminal) == before


@pytest.mark.timeout(HANG_S * 2)
def test_a_sigterm_ends_it_and_the_terminal_is_as_it_was(peer: Peer, state_dir: Path) -> None:
    with shown(state_dir) as (process, terminal, before):
        until(terminal, b"no VM")
        assert termios.tcgetattr(terminal) != before
        process.terminate()
        until(terminal, LEFT)
        assert process.wait(HANG_S) == ExitCode.TERMINATED
        assert termios.tcgetattr(terminal) == before


@pytest.mark.timeout(HANG_S * 2)
def test_a_terminal_that_hung_up_ends_it_in_good_order(peer: Peer, state_dir: Path) -> None:
    with shown(state_dir) as (process, terminal, _):
        until(terminal, b"no VM")
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, terminal)
        os.close(nowhere)
        assert process.wait(HANG_S) == ExitCode.CLOSED_PIPE


@pytest.mark.timeout(HANG_S * 3)
def test_it_lives_through_a_restart_of_the_daemon(state_dir: Path) -> None:
    with ExitStack() as life:
        peer = life.enter_context(serving(state_dir))
        peer.supervisor.vms["ours"] = vm(1)
        with shown(state_dir) as (process, terminal, _):
            until(terminal, b"1 VM: 1 running")
            life.close()
            until(terminal, b"out of date: no daemon answers")
            peer = life.enter_context(serving(state_dir))
            peer.supervisor.vms["theirs"] = vm(2, v1.Phase.PAUSED)
            until(terminal, b"1 VM: 1 paused")
            os.write(terminal, b"q")
            until(terminal, LEFT)
            assert process.wait(HANG_S) == 0
