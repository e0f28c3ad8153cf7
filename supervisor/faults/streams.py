"""Faults on the way between the daemon and a VM: QMP commands, and what the guest's agent says."""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec
import trio

from supervisor.faults.plan import CorruptQmp, DelayQmp, DropQmp, QmpFault, RefuseQmp, StallAgent
from supervisor.faults.trigger import Trigger
from supervisor.host.interposing import Bytes, Lines, PassingStream

GARBAGE = b"\xff not QMP\r\n"
REFUSAL = "refused by the fault plan"
LINE_BYTES = 65536
"""What the daemon and an agent send is much shorter."""


class Spoken(msgspec.Struct, frozen=True):
    """What matters here of a line of JSON."""

    execute: str = ""
    type: str = ""
    id: int = 0


_decode = msgspec.json.Decoder(Spoken).decode


class Speech:
    """Pieces of a stream -> what matters of the messages that they complete."""

    def __init__(self) -> None:
        self._lines = Lines(LINE_BYTES)

    def take(self, data: Bytes) -> Iterator[Spoken]:
        """Yield the messages; what is not JSON is passed over."""
        for line in self._lines.take(data):
            with suppress(msgspec.DecodeError):
                yield _decode(line)


class FaultyQmp(PassingStream):
    """The QMP stream of one launch; the client sends one whole command at a time."""

    def __init__(self, inner: trio.abc.Stream, faults: Sequence[Trigger[QmpFault]]) -> None:
        super().__init__(inner)
        self._faults = faults
        self._speech = Speech()
        self._interjected: deque[bytes] = deque()
        self._receiving = trio.CancelScope()

    async def send_all(self, data: Bytes) -> None:
        """Pass a command on to QEMU, unless the plan says otherwise."""
        due = [fault for spoken in self._speech.take(data) for fault in self._due(spoken)]
        for fault, number in due:
            if isinstance(fault, DelayQmp):
                await trio.sleep(fault.by / 1000)
            elif isinstance(fault, RefuseQmp):
                self._interject(_refusal(number))
        if not any(isinstance(fault, DropQmp | RefuseQmp) for fault, _ in due):
            await self._inner.send_all(data)
        if any(isinstance(fault, CorruptQmp) for fault, _ in due):
            self._interject(GARBAGE)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return what QEMU says, or what the plan says in its place."""
        if not self._interjected:
            # Receiving from a socket may be cancelled: what was not taken stays in it.
            with trio.CancelScope() as self._receiving:
                return await self._inner.receive_some(max_bytes)
        return self._interjected.popleft()

    def _interject(self, said: bytes) -> None:
        self._interjected.append(said)
        self._receiving.cancel()

    def _due(self, spoken: Spoken) -> Iterator[tuple[QmpFault, int]]:
        for trigger in self._faults:
            if trigger.fault.command == spoken.execute and trigger.meet():
                yield trigger.fault, spoken.id


class FaultyAgent(PassingStream):
    """The stream of one launch's agent, which may fall silent for a time."""

    def __init__(self, inner: trio.abc.Stream, faults: Sequence[Trigger[StallAgent]]) -> None:
        super().__init__(inner)
        self._faults = faults
        self._speech = Speech()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return what the agent says, late where the plan says so; its socket fills meanwhile."""
        data = await self._inner.receive_some(max_bytes)
        for spoken in self._speech.take(data):
            for trigger in self._faults:
                if trigger.fault.message == spoken.type and trigger.meet():
                    await trio.sleep(trigger.fault.by / 1000)
        return data


def _refusal(number: int) -> bytes:
    error = {"class": "GenericError", "desc": REFUSAL}
    return json.dumps({"id": number, "error": error}).encode() + b"\r\n"
