"""When a guest with an agent of its own is ready: its port takes a connection, or its console says.

QEMU takes a forwarded connection before anybody in the guest does, and keeps it while the guest has
no network yet: an open connection proves nothing. What counts is a byte from the guest, or QEMU's
own table of connections, which tells those that the guest took (``info usernet``, net/slirp.c).
"""

import fnmatch
import re
from contextlib import suppress
from pathlib import Path

import trio

from supervisor.host.contact import Ask
from supervisor.host.growing_log import GrowingLog, ReadFrom
from supervisor.host.interposing import Lines
from supervisor.host.monitor import Step
from supervisor.qmp.errors import QmpError
from supervisor.vm import layout
from supervisor.vm.effects import AwaitLine, AwaitPort, LinesSince
from supervisor.vm.qemu_argv import FORWARD_ADDRESS

LOOK_S = 0.5
"""Between two looks; a guest boots in seconds, and a look costs less than a millisecond."""
LOOKS = 10
"""At one connection, until another is made. One that nobody in the guest answered stays with QEMU
for some 75 s, so that QEMU has at most 15 of them."""
LINE_BYTES = 4096
"""Of a console line; what is longer is matched by its beginning."""
READ_FROM = {LinesSince.LAUNCH: ReadFrom.BEGINNING, LinesSince.RESET: ReadFrom.END}
CONNECTIONS = Step("human-monitor-command", {"command-line": "info usernet"})


async def port_answers(order: AwaitPort, ask: Ask) -> None:
    """Wait until somebody in the guest takes a connection to the forwarded port."""
    # Nothing tells of a port that is listened on but trying it.
    while not await _takes_connection(order, ask):  # noqa: ASYNC110
        await trio.sleep(LOOK_S)


async def _takes_connection(order: AwaitPort, ask: Ask) -> bool:
    try:
        stream = await trio.open_tcp_stream(FORWARD_ADDRESS, order.host_port)
    except OSError:
        return False
    async with stream:
        for _ in range(LOOKS):
            with trio.move_on_after(LOOK_S):
                return await _says_something(stream)
            if await _is_taken(order, ask):
                return True
    return False


async def _says_something(stream: trio.SocketStream) -> bool:
    try:
        return bool(await stream.receive_some(1))
    except trio.BrokenResourceError:
        return False


async def _is_taken(order: AwaitPort, ask: Ask) -> bool:
    try:
        table = await ask(CONNECTIONS)
    except QmpError:
        return False  # whoever watches QEMU tells of it, and the next look asks again
    return is_established(str(table), order)


def is_established(table: str, order: AwaitPort) -> bool:
    """Return whether QEMU's table has a connection over this forward that the guest took."""
    # One that the guest made has its own address first, and may lead to the same port elsewhere.
    forward = rf"{re.escape(FORWARD_ADDRESS)}\s+{order.host_port}\s+\S+\s+{order.guest_port}\s"
    return re.search(rf"TCP\[ESTABLISHED\]\s+\S+\s+{forward}", table) is not None


async def console_says(order: AwaitLine) -> None:
    """Wait for a line of the console that matches.

    The last line counts without its end once nothing follows it: a prompt never has one.
    """
    log = GrowingLog(Path(order.directory) / layout.CONSOLE_LOG, READ_FROM[order.since])
    line = ConsoleLine(order.line)
    while True:
        data = b""
        with suppress(OSError):
            data = await trio.to_thread.run_sync(log.read)
        if line.is_in(data) if data else line.is_last():
            return
        if not data:
            await trio.sleep(LOOK_S)


class ConsoleLine:
    """The glob pattern of one line, and the console as it comes."""

    def __init__(self, pattern: str) -> None:
        self._matches = re.compile(fnmatch.translate(pattern)).match
        self._lines = Lines(LINE_BYTES)

    def is_in(self, data: bytes) -> bool:
        """Return whether a line that ``data`` completes matches."""
        completed = list(self._lines.take(data))  # all of them, or the rest would be lost
        return any(map(self._fits, completed))

    def is_last(self) -> bool:
        """Return whether the line that has not ended matches."""
        return bool(self._lines.rest) and self._fits(self._lines.rest)

    def _fits(self, line: bytes) -> bool:
        return self._matches(line.rstrip(b"\r").decode(errors="replace")) is not None
