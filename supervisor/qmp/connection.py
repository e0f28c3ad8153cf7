"""One QMP connection as bytes in, messages out: no socket, no clock.

The message and its models are ``qemu.qmp``'s; what this adds is framing with a bound, the order
(one greeting, before anything else) and numbered commands. The specification is QEMU's
``docs/interop/qmp-spec``. After a :class:`QmpProtocolError` the connection is of no more use.

``qemu/qmp/__init__.py`` imports asyncio whatever submodule is asked for: 18 ms more at start when
nothing else has imported it; grpclib does so anyway.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from qemu.qmp.error import ProtocolError
from qemu.qmp.message import Message
from qemu.qmp.models import ErrorResponse, Greeting

from supervisor.qmp.errors import QmpProtocolError

T = TypeVar("T")

MAX_LINE_BYTES = 4 * 1024 * 1024
"""query-qmp-schema, the largest answer there is, has 207 KB in QEMU 7.2: room for twenty times."""


class Greeted(msgspec.Struct, frozen=True):
    """The server's first words; ``version`` is ``major.minor.micro``."""

    version: str


class Returned(msgspec.Struct, frozen=True):
    """A command succeeded."""

    id: int
    value: object


class Failed(msgspec.Struct, frozen=True):
    """A command failed; ``id`` is None when QEMU could not even read it."""

    id: int | None
    error_class: str
    description: str


class GuestEvent(msgspec.Struct, frozen=True):
    """An asynchronous event of the machine."""

    name: str
    data: Mapping[str, object]


Incoming = Greeted | Returned | Failed | GuestEvent


class QmpConnection:
    """The client's side of one connection."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._greeting: Greeted | None = None
        self._last_id = 0

    def execute(
        self, command: str, arguments: Mapping[str, object] | None = None
    ) -> tuple[int, bytes]:
        """Return the number that the answer will carry, and the bytes to send."""
        self._last_id += 1
        message = Message({"execute": command, "id": self._last_id})
        if arguments:
            message["arguments"] = dict(arguments)
        return self._last_id, bytes(message) + b"\n"

    def receive_data(self, data: bytes | bytearray) -> list[Incoming]:
        """Return what ``data`` completes.

        Raises QmpProtocolError on a line that is too long or no QMP; whatever came in the same
        piece is lost with it, because a peer that sends garbage is not believed.
        """
        self._buffer += data
        incoming = [self._read(line) for line in self._complete_lines() if line.strip()]
        if len(self._buffer) > self._max_line_bytes:
            raise QmpProtocolError(f"a line is longer than {self._max_line_bytes} bytes")
        return incoming

    def _complete_lines(self) -> list[bytes]:
        end = self._buffer.rfind(b"\n", self._searched) + 1
        self._searched = len(self._buffer) - end
        lines = bytes(self._buffer[:end]).split(b"\n")[:-1]
        del self._buffer[:end]
        return lines

    def _read(self, line: bytes) -> Incoming:
        if len(line) > self._max_line_bytes:
            raise QmpProtocolError(f"a line is longer than {self._max_line_bytes} bytes")
        try:
            return self._interpret(Message(line))
        except (ProtocolError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise QmpProtocolError(f"not a QMP message: {error.args[0]}") from error

    def _interpret(self, message: Message) -> Incoming:
        if self._greeting is None:
            self._greeting = Greeted(_version(Greeting(message)))
            return self._greeting
        if "event" in message:
            data = message.get("data", {})
            return GuestEvent(_typed(message["event"], str), _typed(data, dict))
        if "error" in message:
            response = ErrorResponse(message)
            return Failed(self._issued(response.id), response.error.class_, response.error.desc)
        number = self._issued(message["id"])
        if number is None:
            raise ValueError("an answer carries no id")
        return Returned(number, message["return"])

    def _issued(self, number: object) -> int | None:
        if number is None:
            return None
        if type(number) is int and 1 <= number <= self._last_id:
            return number
        raise ValueError(f"an answer to a command that was never sent: {number!r:.80}")


def _version(greeting: Greeting) -> str:
    numbers = _typed(greeting.QMP.version["qemu"], dict)
    return ".".join(str(_typed(numbers[part], int)) for part in ("major", "minor", "micro"))


def _typed(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, got {value!r:.80}")
    return value
