"""What was said between the daemon and one launch: on QMP, and by the guest's agent.

One line of JSON a message, in a file of two generations beside the launch's logs
(docs/flight-recorder.md). Written at once and never synced: it survives the daemon, costs some
microseconds, and on a full disk, or a broken one, is silently incomplete. The reader never waits.
"""

import datetime
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import trio

from supervisor.host.interposing import Bytes, Channel, Interpose, Lines, PassingStream
from supervisor.host.logs import begin_generation, older_generation
from supervisor.host.private_file import private_file
from supervisor.host.redaction import redacted
from supervisor.vm import layout

TRANSCRIPT_BYTES = 256 * 1024
"""Some 1,500 messages; a launch has about 30, and a pause, a reset or a lost contact few more."""
LINE_BYTES = 16 * 1024
"""The answers that the daemon asks for are shorter; of a longer message only its length is kept."""
PULSE = "query-status"
"""What an idle QEMU is asked every few seconds: kept only when the answer is a new one."""
MESSAGES_PER_S = 100
"""More than any conversation has; of a guest that floods, what comes beyond it is only measured."""
UNTOLD = frozenset({"log"})
"""Messages of the agent that have a file of their own."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a transcript.

    ``omitted``: messages were not kept, being no JSON, too long or too many at once; they had so
    many bytes, or more.
    """

    at: str
    channel: str
    direction: str
    message: object = None
    omitted: int = 0


class FlightRecorder:
    """Writes the transcript of one launch."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = directory / layout.TRANSCRIPT
        self._clock = clock
        self._second = -math.inf
        self._left = 0
        self._flood_bytes = 0
        self._asked: Entry | None = None
        self._status: object = None

    def recording(self, interpose: Interpose) -> Interpose:
        """Return how streams are opened when all that is said on them is recorded."""

        def tapped(channel: Channel, directory: Path, stream: trio.abc.Stream) -> trio.abc.Stream:
            return RecordedStream(interpose(channel, directory, stream), channel, self)

        return tapped

    def record(self, channel: Channel, direction: str, line: bytes = b"") -> None:
        """Keep one message, or that a connection was opened or closed."""
        if self._is_flooded(channel, direction, line):
            return
        entry = self._entry(channel, direction, line)
        if entry is None or self._is_pulse(entry):
            return
        if self._asked is not None:
            self._write(self._asked)
            self._asked = None
        self._write(entry)

    def _is_flooded(self, channel: Channel, direction: str, line: bytes) -> bool:
        """Pass over what comes beyond the rate; tell of it when the rate allows again."""
        now = self._clock()
        if now >= self._second + 1:
            self._second, self._left = now, MESSAGES_PER_S
            if self._flood_bytes:
                flood, self._flood_bytes = self._flood_bytes, 0
                self._write(Entry(_utc_now(), channel.value, direction, omitted=flood))
        if self._left == 0:
            self._flood_bytes += len(line)
            return True
        self._left -= 1
        return False

    def _entry(self, channel: Channel, direction: str, line: bytes) -> Entry | None:
        if not line:
            return Entry(_utc_now(), channel.value, direction)
        if len(line) >= LINE_BYTES:
            return Entry(_utc_now(), channel.value, direction, omitted=len(line))
        try:
            message = redacted(msgspec.json.decode(line))
        except (msgspec.DecodeError, RecursionError):
            return Entry(_utc_now(), channel.value, direction, omitted=len(line))
        if channel is Channel.AGENT and _field(message, "type") in UNTOLD:
            return None
        return Entry(_utc_now(), channel.value, direction, message)

    def _is_pulse(self, entry: Entry) -> bool:
        """Hold a question about the state back until its answer shows whether it is worth it."""
        if _field(entry.message, "execute") == PULSE:
            if self._asked is not None:
                self._write(self._asked)
            self._asked = entry
            return True
        if self._asked is None or _field(entry.message, "id") != _field(self._asked.message, "id"):
            return False
        known, self._status = self._status, _field(entry.message, "return")
        if known != self._status:
            return False
        self._asked = None
        return True

    def _write(self, entry: Entry) -> None:
        # Opened each time: a launch that says nothing holds no descriptor.
        data = msgspec.json.encode(entry) + b"\n"
        with (
            suppress(OSError),
            open(self._path, "ab", buffering=0, opener=private_file) as file,
        ):
            if file.tell() + len(data) > TRANSCRIPT_BYTES // 2:
                begin_generation(self._path, TRANSCRIPT_BYTES // 2)
            file.write(data)


class RecordedStream(PassingStream):
    """A stream whose lines are recorded in both directions, as this side of it heard them."""

    def __init__(self, inner: trio.abc.Stream, channel: Channel, recorder: FlightRecorder) -> None:
        super().__init__(inner)
        self._channel = channel
        self._recorder = recorder
        self._sent, self._received = Lines(LINE_BYTES), Lines(LINE_BYTES)
        recorder.record(channel, "opened")

    async def send_all(self, data: Bytes) -> None:
        """Record, then send: what cannot be sent was meant all the same."""
        self._note("sent", self._sent, data)
        await super().send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive, and record it."""
        data = await super().receive_some(max_bytes)
        self._note("received", self._received, data)
        if not data:
            self._recorder.record(self._channel, "closed")
        return data

    def _note(self, direction: str, lines: Lines, data: Bytes) -> None:
        for line in lines.take(data):
            if line.strip():
                self._recorder.record(self._channel, direction, line)


def transcript(directory: Path, launch: int) -> bytes:
    """Return what is kept of a launch's transcript under its VM's directory. Blocks."""
    path = directory / layout.launch_directory(launch) / layout.TRANSCRIPT
    return b"".join(_content(each) for each in (older_generation(path), path))


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=private_file) as file:
            return file.read(TRANSCRIPT_BYTES)
    except FileNotFoundError:
        return b""


def _field(message: object, name: str) -> object:
    return message.get(name) if isinstance(message, dict) else None


def _utc_now() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
