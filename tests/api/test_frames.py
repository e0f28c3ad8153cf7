"""What is made once for many: frames as a WebSocket library reads them, and writes that share."""

import socket

import pytest
import trio
import trio.testing
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import TextMessage

from eventlog import CaughtUp, Record
from supervisor.api.encoded import RECENT_BYTES, Encoded
from supervisor.api.frames import SharedStream, text_frame
from supervisor.api.subscription import Item


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_library_reads_the_message_that_was_framed(size: int) -> None:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(text_frame("ä".encode() + b"x" * size if size > 125 else b"x" * size))
    events = list(client.events())
    assert all(isinstance(event, TextMessage) for event in events)
    text = "".join(event.data for event in events if isinstance(event, TextMessage))
    assert text == ("ä" if size > 125 else "") + "x" * size


def _pair() -> tuple[SharedStream, trio.SocketStream]:
    ours, theirs = (
        trio.SocketStream(trio.socket.from_stdlib_socket(s)) for s in socket.socketpair()
    )
    return SharedStream(ours), theirs


async def test_what_the_kernel_does_not_take_at_once_is_left_to_be_sent() -> None:
    stream, peer = _pair()
    whole = bytes(range(256)) * 40_000
    received = b""
    async with stream, peer, trio.open_nursery() as nursery:
        rest = stream.send_now(whole)
        assert 0 < len(rest) < len(whole)
        nursery.start_soon(stream.send_all, rest)
        await trio.testing.wait_all_tasks_blocked()
        assert stream.send_now(b"another") == b"another"  # nothing goes in between
        while len(received) < len(whole):
            received += await peer.receive_some()
    assert received == whole


async def test_a_peer_that_is_gone_is_told_of() -> None:
    stream, peer = _pair()
    await peer.aclose()
    async with stream:
        with pytest.raises(trio.BrokenResourceError):
            stream.send_now(b"x")


def _record(position: int) -> Record:
    return Record(position, "host", position, "a.v1", "id", 1, 1, "", "", "", "", "", {}, b"\x80")


def test_an_event_is_encoded_once_and_a_marker_for_each() -> None:
    made: list[int] = []

    def encode(item: Item) -> bytes:
        made.append(item.position)
        return b"x"

    encoded = Encoded(encode)
    for item in (_record(1), _record(1), CaughtUp(1), CaughtUp(1), _record(2)):
        assert encoded(item) == b"x"
    assert made == [1, 1, 1, 2]


def test_what_is_kept_has_a_bound_and_the_oldest_goes_first() -> None:
    made: list[int] = []

    def encode(item: Item) -> bytes:
        made.append(item.position)
        return bytes(RECENT_BYTES // 2)

    encoded = Encoded(encode)
    for position in (1, 2, 3, 2, 3, 1):
        encoded(_record(position))
    assert made == [1, 2, 3, 1]
