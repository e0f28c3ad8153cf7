"""The agent protocol as bytes and messages (docs/agent-protocol.md): no socket, no clock.

What a guest sends is hostile. A line that is too long, no JSON object, or a message whose fields
are wrong breaks the protocol; what the protocol says is to be ignored is ignored here.
"""

from typing import Annotated, Literal

import msgspec

LINE_BYTES = 4096
"""The longest line, with its newline."""
VERSION = 1
NONCE_BYTES = 64
"""What a report of SEV-SNP has room for (56860, REPORT_DATA)."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class AgentProtocolError(Exception):
    """The guest's agent does not speak the protocol."""


class Envelope(msgspec.Struct, frozen=True):
    """What decides whether a line is for us; one that lacks a part of it is not."""

    v: int = 0
    type: str = ""
    launch: int = -1


class Ready(msgspec.Struct, frozen=True):
    """The inputs are unpacked: the computation can start."""

    seq: Count


class Started(msgspec.Struct, frozen=True):
    """The computation runs."""

    seq: Count


class Progress(msgspec.Struct, frozen=True):
    """How far the computation says that it is."""

    seq: Count
    fraction: Fraction
    message: str = ""


class Log(msgspec.Struct, frozen=True):
    """One line of its output."""

    seq: Count
    stream: Literal["stdout", "stderr"]
    line: str


class Finished(msgspec.Struct, frozen=True):
    """The computation ended; ``length`` bytes of results lie on the disk."""

    seq: Count
    exit_code: Annotated[int, msgspec.Meta(ge=0, le=255)]
    length: Count
    error: str = ""
    message: str = ""


class Attested(msgspec.Struct, frozen=True):
    """The processor's report on the guest, in base64, or the ``error`` that there is none."""

    seq: Count
    nonce: Annotated[str, msgspec.Meta(max_length=2 * NONCE_BYTES)]
    report: str = ""
    error: str = ""
    message: str = ""


AgentMessage = Ready | Started | Progress | Log | Finished | Attested

MESSAGES: dict[str, type[AgentMessage]] = {
    "ready": Ready,
    "started": Started,
    "progress": Progress,
    "log": Log,
    "finished": Finished,
    "report": Attested,
}

_ENVELOPE = msgspec.json.Decoder(Envelope)


class LineReader:
    """Bytes of one connection -> the messages of one launch."""

    def __init__(self, launch: int) -> None:
        self._launch = launch
        self._buffer = bytearray()
        self._forgiving = True

    def expect_fragment(self) -> None:
        """Forgive the next line if it is broken, as the first one of a connection is.

        A reader that was killed, and a guest that was reset, leave half a line behind.
        """
        self._forgiving = True

    def receive_data(self, data: bytes | bytearray) -> list[AgentMessage]:
        """Return what ``data`` completes. Raises AgentProtocolError."""
        *lines, rest = (bytes(self._buffer) + data).split(b"\n")
        self._buffer[:] = rest
        messages = [self._read(line) for line in lines]
        if len(rest) >= LINE_BYTES:
            raise AgentProtocolError(f"a line is longer than {LINE_BYTES} bytes")
        return [message for message in messages if message is not None]

    def _read(self, line: bytes) -> AgentMessage | None:
        forgiving, self._forgiving = self._forgiving, False
        if not line.strip():
            self._forgiving = forgiving
            return None
        if len(line) >= LINE_BYTES:
            raise AgentProtocolError(f"a line is longer than {LINE_BYTES} bytes")
        try:
            return self._interpret(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if forgiving:
                return None
            raise AgentProtocolError(f"a line is not a message: {error}") from error

    def _interpret(self, line: bytes) -> AgentMessage | None:
        envelope = _ENVELOPE.decode(line)
        kind = MESSAGES.get(envelope.type)
        if envelope.v != VERSION or kind is None or not self._is_ours(envelope):
            return None
        return msgspec.json.decode(line, type=kind)

    def _is_ours(self, envelope: Envelope) -> bool:
        # A guest that could not read its inputs does not know its launch, and says so with 0.
        unread = envelope.type == "finished" and envelope.launch == 0
        return envelope.launch == self._launch or unread


def start(launch: int) -> bytes:
    """Return the line that starts the computation."""
    return _line({"v": VERSION, "type": "start", "launch": launch})


def stop(launch: int) -> bytes:
    """Return the line that asks the computation to end."""
    return _line({"v": VERSION, "type": "stop", "launch": launch})


def acknowledge(launch: int, seq: int) -> bytes:
    """Return the line that says that message ``seq`` is durable."""
    return _line({"v": VERSION, "type": "ack", "launch": launch, "seq": seq})


def attest(launch: int, nonce: bytes) -> bytes:
    """Return the line that asks for a report with ``nonce`` in it, of at most NONCE_BYTES."""
    return _line({"v": VERSION, "type": "attest", "launch": launch, "nonce": nonce.hex()})


def _line(message: dict[str, object]) -> bytes:
    return msgspec.json.encode(message) + b"\n"
