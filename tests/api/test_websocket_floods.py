"""What no library would send over a WebSocket, in masses: its sender is hung up on."""

import pytest
import trio
from trio_websocket import ConnectionClosed, wrap_client_stream

from supervisor.api.websocket_peer import PIECES, Bounds
from tests.api.conftest import TOKEN, StartWebsocket

GUARD_S = 120
FIRST, NEXT = b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0"
"""Pieces of a text message that hold nothing and are not the last (RFC 6455, section 5.4)."""


async def test_a_message_of_endless_empty_pieces_is_hung_up_on(
    start_websocket: StartWebsocket,
) -> None:
    # Pings are answered in time, so that silence is not what ends it.
    address = await start_websocket(Bounds(ping_s=0.02, pong_s=GUARD_S))
    stream = await trio.open_tcp_stream(address.host, address.port)
    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    async with stream, trio.open_nursery() as nursery:
        client = await wrap_client_stream(
            nursery, stream, str(address), "/v1/events", extra_headers=headers
        )
        await client.get_message()
        await stream.send_all(FIRST + NEXT * PIECES)
        with trio.fail_after(GUARD_S), pytest.raises(ConnectionClosed):
            await client.get_message()
        nursery.cancel_scope.cancel()
