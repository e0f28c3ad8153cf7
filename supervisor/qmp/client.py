"""A QMP client on a Trio stream: one reading task, commands with deadlines, events that wait.

The reading task never waits for a consumer (:class:`EventBuffer`). When the stream ends, or the
peer sends garbage, every command under way ends with :class:`QmpDisconnected` and the events end.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import outcome
import trio

from supervisor.qmp.connection import (
    Failed,
    Greeted,
    GuestEvent,
    Incoming,
    QmpConnection,
    Returned,
)
from supervisor.qmp.errors import (
    QmpCommandRefused,
    QmpDisconnected,
    QmpProtocolError,
    QmpTimeout,
)
from supervisor.qmp.event_buffer import EventBuffer

EVENT_LIMIT = 256
"""A launch has some ten events in all; a guest that toggles a device makes hundreds a second."""
RECEIVE_BYTES = 65536


class QmpClient:
    """Commands and events of one connection.

    ``run`` must be a running task before anything else is asked; the stream stays its owner's.
    """

    def __init__(self, stream: trio.abc.Stream, *, event_limit: int = EVENT_LIMIT) -> None:
        self._stream = stream
        self._connection = QmpConnection()
        self._sending = trio.Lock()
        self._greeting = _Answer()
        self._answers: dict[int, _Answer] = {}
        self._end: str | None = None
        self.events = EventBuffer(event_limit)

    async def run(self) -> None:
        """Read until the stream ends or speaks no QMP."""
        end = "the QMP connection was closed"
        try:
            while data := await self._stream.receive_some(RECEIVE_BYTES):
                for incoming in self._connection.receive_data(data):
                    self._dispatch(incoming)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            end = "the QMP connection broke"
        except QmpProtocolError as error:
            end = str(error)
        finally:
            self._hang_up(end)

    async def negotiate(self, *, deadline_s: float) -> str:
        """Wait for the greeting, leave capabilities negotiation; return QEMU's version.

        Raises QmpTimeout when no greeting comes: another client is connected, or QEMU is stopped.
        """
        with _deadline("with a greeting", deadline_s):
            greeted = await self._greeting.wait()
            assert isinstance(greeted, Greeted)
        await self.execute("qmp_capabilities", deadline_s=deadline_s)
        return greeted.version

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, deadline_s: float
    ) -> object:
        """Execute one command and return its value.

        Raises QmpCommandRefused, QmpTimeout or QmpDisconnected.
        """
        if self._end is not None:
            raise QmpDisconnected(self._end)
        number, request = self._connection.execute(command, arguments)
        answer = self._answers[number] = _Answer()
        try:
            with _deadline(command, deadline_s):
                await self._send(request)
                return await answer.wait()
        finally:
            del self._answers[number]

    async def _send(self, request: bytes) -> None:
        async with self._sending:
            try:
                await self._stream.send_all(request)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise QmpDisconnected("the QMP connection broke") from error
            except trio.Cancelled:
                # Half a command may be on its way: nothing sensible can follow it.
                self._hang_up("a QMP command could not be sent in time")
                raise

    def _dispatch(self, incoming: Incoming) -> None:
        match incoming:
            case Greeted():
                self._greeting.give(outcome.Value(incoming))
            case GuestEvent():
                self.events.put(incoming)
            case Returned(id=number, value=value):
                self._answer(number, outcome.Value(value))
            case Failed(id=number, error_class=error_class, description=description):
                refused = QmpCommandRefused(error_class, description)
                self._answer(number, outcome.Error(refused))

    def _answer(self, number: int | None, result: outcome.Outcome[object]) -> None:
        # An answer that nobody waits for any longer came after its deadline.
        if number is not None and (answer := self._answers.get(number)) is not None:
            answer.give(result)

    def _hang_up(self, end: str) -> None:
        if self._end is None:
            self._end = end
            for answer in (self._greeting, *self._answers.values()):
                answer.give(outcome.Error(QmpDisconnected(end)))
            self.events.close()


class _Answer:
    """A result that one task waits for; the first one given counts."""

    def __init__(self) -> None:
        self._given = trio.Event()
        self._result: outcome.Outcome[object]

    def give(self, result: outcome.Outcome[object]) -> None:
        if not self._given.is_set():
            self._result = result
            self._given.set()

    async def wait(self) -> object:
        await self._given.wait()
        return self._result.unwrap()


@contextmanager
def _deadline(what: str, seconds: float) -> Iterator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise QmpTimeout(f"QEMU did not answer {what} within {seconds:g} s") from None
