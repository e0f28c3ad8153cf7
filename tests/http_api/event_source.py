"""A client of Server-Sent Events that may be dropped anywhere, as `curl` may be killed."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import trio

from supervisor.api.cloudevents import CAUGHT_UP_TYPE
from tests.http_api.conftest import BEARER, Json, Served


class EventSource:
    """One answer, read line by line."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self._text = b""
        self._id = ""

    async def ask(self, target: str, headers: dict[str, str]) -> None:
        request = h11.Request(method="GET", target=target, headers=list(headers.items()))
        await self._stream.send_all(
            (self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")
        )
        response = await self._next()
        assert isinstance(response, h11.Response)
        assert response.status_code == 200
        assert (
            b"content-type",
            b"text/event-stream; charset=utf-8",
        ) in response.headers.raw_items()

    async def line(self) -> str:
        """Return the next line. Raises EndOfChannel when the answer is over."""
        while b"\n" not in self._text:
            event = await self._next()
            if not isinstance(event, h11.Data):
                raise trio.EndOfChannel
            self._text += event.data
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()

    async def event(self) -> tuple[str, Json]:
        """Return the next event and its id."""
        while True:
            name, _, value = (await self.line()).partition(": ")
            if name == "id":
                self._id = value
            elif name == "data":
                return self._id, json.loads(value)

    async def take(self, count: int) -> list[tuple[str, Json]]:
        return [await self.event() for _ in range(count)]

    async def replayed(self) -> list[int]:
        """Return the positions up to the mark."""
        seen: list[int] = []
        while (event := (await self.event())[1])["type"] != CAUGHT_UP_TYPE:
            seen.append(int(event["sequence"]))
        return seen

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._stream.receive_some())
        return event


@asynccontextmanager
async def following(
    served: Served, query: str = "", last_event_id: str = ""
) -> AsyncIterator[EventSource]:
    last = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with await trio.open_tcp_stream(served.address.host, served.address.port) as stream:
        source = EventSource(stream)
        await source.ask(f"/v1/events{query}", {"Host": str(served.address), **BEARER, **last})
        yield source
