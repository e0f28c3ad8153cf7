"""When a guest with an agent of its own is ready, and when it only looks so."""

from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from supervisor.host.growing_log import CHUNK_BYTES, GrowingLog, ReadFrom
from supervisor.host.logs import begin_generation, older_generation
from supervisor.host.monitor import Step
from supervisor.host.readiness import ConsoleLine, console_says, is_established, port_answers
from supervisor.qmp.errors import QmpTimeout
from supervisor.vm.effects import AwaitLine, AwaitPort, LinesSince
from supervisor.vm.layout import CONSOLE_LOG

PATIENCE_S = 60
HEAD = (
    "Hub -1 (net):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ\r\n"
)
ROW = "  TCP[{state}]      14       127.0.0.1 {host}       10.0.2.15  {port}     0     0\r\n"
HOST_PORT = 20000
MADE_BY_THE_GUEST = (
    "  TCP[ESTABLISHED]      15       10.0.2.15 20000        10.0.2.2  7002     0     0\r\n"
)


def table(state: str, port: int = 7002, host: int = HOST_PORT) -> str:
    return HEAD + ROW.format(state=state, port=port, host=host)


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        (table("ESTABLISHED"), True),
        (table("SYN_SENT") + table("ESTABLISHED"), True),
        (table("SYN_SENT"), False),
        (table("HOST_FORWARD"), False),
        (table("ESTABLISHED", 70), False),
        (table("ESTABLISHED", 17002), False),
        (table("ESTABLISHED", host=20001), False),
        (HEAD + MADE_BY_THE_GUEST, False),
        (HEAD, False),
        ("", False),
    ],
)
def test_only_a_connection_that_the_guest_took_counts(*, said: str, taken: bool) -> None:
    assert is_established(said, AwaitPort(1, 7002, HOST_PORT)) is taken


class Forward:
    """QEMU's side of a forward: it takes every connection, as slirp does."""

    def __init__(self, says: bytes, answers: list[str]) -> None:
        self._says = says
        self._answers = answers
        self.port = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        if self._says:
            await stream.send_all(self._says)
        elif self._answers:
            await stream.receive_some()

    async def ask(self, step: Step) -> object:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not answer:
            raise QmpTimeout("silent")
        return answer.replace(f" {HOST_PORT} ", f" {self.port} ")


@pytest.mark.parametrize(
    ("says", "answers"),
    [(b"hello", [table("SYN_SENT")]), (b"", ["", table("SYN_SENT"), table("ESTABLISHED")])],
)
async def test_a_port_answers_by_a_byte_or_by_qemus_own_table(
    nursery: trio.Nursery, says: bytes, answers: list[str]
) -> None:
    forward = Forward(says, answers)
    serve = await nursery.start(trio.serve_tcp, forward.serve, 0)
    forward.port = serve[0].socket.getsockname()[1]
    with trio.fail_after(PATIENCE_S):
        await port_answers(AwaitPort(1, 7002, forward.port), forward.ask)
    assert len(answers) == 1
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("pattern", "console", "found"),
    [
        ("*login:*", b"Debian\r\nhost login: ", False),
        ("*login:*", b"host login: x\r\n", True),
        ("up", b"up\r\n", True),
        ("up", b"way up\r\n", False),
        ("up", b"wake\nup\nand on", True),
        ("[ab]?", b"b1\n", True),
        ("caf\u00e9", "caf\u00e9\n".encode(), True),
        ("up", b"\xff\xfe\nup\n", True),
    ],
)
def test_a_pattern_takes_a_whole_line(*, pattern: str, console: bytes, found: bool) -> None:
    assert ConsoleLine(pattern).is_in(console) is found


def test_a_prompt_without_an_end_is_a_line_too() -> None:
    line = ConsoleLine("*login:*")
    assert not line.is_in(b"Debian\r\nhost log")
    assert not line.is_last()
    assert not line.is_in(b"in: ")
    assert line.is_last()


@given(st.lists(st.binary(max_size=20), max_size=20), st.integers(0, 400))
def test_a_line_is_found_however_the_console_is_cut(lines: list[bytes], cut: int) -> None:
    console = b"".join(line.replace(b"\n", b"") + b"\n" for line in [*lines, b"it is up"])
    line = ConsoleLine("it is up")
    assert line.is_in(console[:cut]) or line.is_in(console[cut:])


def order(directory: Path, since: LinesSince) -> AwaitLine:
    return AwaitLine(1, str(directory), "*up*", since)


async def test_a_line_counts_that_was_said_while_nobody_listened(tmp_path: Path) -> None:
    (tmp_path / CONSOLE_LOG).write_bytes(b"and on\n")
    older_generation(tmp_path / CONSOLE_LOG).write_bytes(b"it is up\n")
    with trio.fail_after(PATIENCE_S):
        await console_says(order(tmp_path, LinesSince.LAUNCH))


async def test_after_a_reset_only_what_is_said_from_then_on_counts(tmp_path: Path) -> None:
    log = tmp_path / CONSOLE_LOG
    log.write_bytes(b"it is up\n")
    with trio.move_on_after(1) as patience:
        await console_says(order(tmp_path, LinesSince.RESET))
    assert patience.cancelled_caught
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(console_says, order(tmp_path, LinesSince.RESET))
            await trio.testing.wait_all_tasks_blocked(0.1)
            with log.open("ab") as console:
                console.write(b"it is up again\n")


def everything(log: GrowingLog) -> bytes:
    return b"".join(iter(log.read, b""))


def test_a_log_is_read_over_its_generations_and_from_anew_once_it_was_cut(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"a" * 3 * CHUNK_BYTES)
    begin_generation(log, 2 * CHUNK_BYTES)
    log.write_bytes(b"new")
    reader = GrowingLog(log, ReadFrom.BEGINNING)
    assert everything(reader) == b"a" * 2 * CHUNK_BYTES + b"new"
    late = GrowingLog(log, ReadFrom.END)
    assert (everything(reader), everything(late)) == (b"", b"")
    begin_generation(log, 3)
    assert everything(reader) == b""
    log.write_bytes(b"2")
    assert (everything(reader), everything(late)) == (b"2", b"2")


def test_a_log_that_is_not_there_yet_has_nothing(tmp_path: Path) -> None:
    assert GrowingLog(tmp_path / "console.log", ReadFrom.BEGINNING).read() == b""
