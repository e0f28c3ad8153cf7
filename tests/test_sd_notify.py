"""What the service manager is told, over real datagram sockets."""

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from supervisor.sd_notify import ALIVE, Notifier, notifier_of

PID = 7
MESSAGE_BYTES = 4096


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.setblocking(False)
        yield listener


def heard(manager: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(manager.recv(MESSAGE_BYTES).decode())
        except BlockingIOError:
            return messages


def test_a_socket_of_the_file_system_is_told(manager: socket.socket, tmp_path: Path) -> None:
    manager.bind(str(tmp_path / "notify"))
    Notifier(str(tmp_path / "notify")).tell("READY=1", "STATUS=serving")
    assert heard(manager) == ["READY=1\nSTATUS=serving"]


def test_an_abstract_socket_is_told(manager: socket.socket) -> None:
    name = f"chronovisor-{secrets.token_hex(8)}"
    manager.bind(f"\0{name}")
    notifier_of({"NOTIFY_SOCKET": f"@{name}"}, PID).tell("STOPPING=1")
    assert heard(manager) == ["STOPPING=1"]


@pytest.mark.parametrize(
    ("variables", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(PID)}, 3),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, 0),
        ({"WATCHDOG_USEC": "-1"}, 0),
        ({"WATCHDOG_USEC": "9" * 400}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({}, 0),
    ],
)
def test_the_watchdog_is_meant_for_one_process(
    variables: dict[str, str], watchdog_s: float
) -> None:
    assert notifier_of({"NOTIFY_SOCKET": "@x", **variables}, PID).watchdog_s == watchdog_s


def test_nothing_that_the_daemon_starts_speaks_for_it() -> None:
    environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "7", "HOME": "/"}
    notifier_of(environment, PID)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("address", ["", "vsock:2:9", "relative/path"])
async def test_who_has_no_manager_tells_nobody_and_watches_nothing(address: str) -> None:
    notifier = notifier_of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}, PID)
    notifier.tell("READY=1")
    await notifier.keep_alive()


def test_a_manager_that_is_gone_is_told_in_vain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier(str(tmp_path / "gone")).tell("READY=1")
    assert "was not told READY=1" in caplog.text


def test_a_manager_that_stays_away_is_warned_of_once_and_again_after_it_was_back(
    manager: socket.socket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "notify"
    notifier = Notifier(str(place))
    notifier.tell(ALIVE)
    notifier.tell(ALIVE)
    assert len(caplog.records) == 1
    manager.bind(str(place))
    notifier.tell(ALIVE)
    place.unlink()
    notifier.tell(ALIVE)
    assert len(caplog.records) == 2


def test_a_manager_that_takes_nothing_is_given_up_on(
    manager: socket.socket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager.bind(str(tmp_path / "notify"))
    notifier, told = Notifier(str(tmp_path / "notify")), 0
    while not caplog.records:
        notifier.tell(ALIVE)
        told += 1
    assert len(heard(manager)) == told - 1
    assert "was not told WATCHDOG=1" in caplog.text


async def test_the_sign_of_life_is_given_twice_in_each_time_that_the_watchdog_waits(
    manager: socket.socket, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    manager.bind(str(tmp_path / "notify"))
    with trio.move_on_after(9):
        await Notifier(str(tmp_path / "notify"), watchdog_s=4).keep_alive()
    assert heard(manager) == [ALIVE] * 5


async def test_no_watchdog_is_so_impatient_that_its_signs_of_life_are_all_that_is_done(
    manager: socket.socket, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    manager.bind(str(tmp_path / "notify"))
    with trio.move_on_after(0.45):
        await Notifier(str(tmp_path / "notify"), watchdog_s=0.02).keep_alive()
    assert heard(manager) == [ALIVE] * 5


async def test_ready_is_told_when_every_vm_was_found_and_not_before(
    manager: socket.socket, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    manager.bind(str(tmp_path / "notify"))
    recovered, missing = trio.Event(), [3, 3, 1]
    notifier = Notifier(str(tmp_path / "notify"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notifier.recovering, recovered, lambda: missing.pop(0))
        await trio.testing.wait_all_tasks_blocked()
        assert [each.split("=")[-1] for each in heard(manager)] == ["recovering 0 of 3"]
        with trio.move_on_after(1.5):
            await trio.sleep_forever()
        (told,) = heard(manager)
        assert "recovering 2 of 3" in told
        assert "READY" not in told
        recovered.set()
    assert heard(manager) == ["READY=1\nSTATUS=serving"]
