"""The bodies of requests and answers, as streams of bytes with bounds."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from supervisor.http_api.problems import Refusal

JSON = "application/json"
FORM = "multipart/form-data"
IDENTITY = "identity"


async def read_document(request: Request, limit_bytes: int) -> bytes:
    """Return a body of JSON. Raises Refusal for another type, or if it is larger than allowed."""
    check_media_type(request)
    _check_coding(request)
    document = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            document += chunk
            if len(document) > limit_bytes:
                takes = f"is too large; it takes at most {limit_bytes} bytes"
                raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", takes)
    return bytes(document)


def check_media_type(request: Request) -> None:
    """Refuse a body that does not say that it is JSON, which a web form never does."""
    if not is_json(request):
        given = request.headers.get("content-type", "")
        takes = f"got {given[:64]!r}; it takes {JSON}"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-type", takes)


def is_json(request: Request) -> bool:
    """Whether a body says that it is JSON, whatever parameters that has."""
    given = request.headers.get("content-type", "")
    return given.partition(";")[0].strip().lower() == JSON


async def read_pieces(request: Request, silence_s: float) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of an upload as they come. Raises Refusal for a form, and for silence."""
    if request.headers.get("content-type", "").lower().startswith(FORM):
        takes = f"got {FORM}; it takes the bytes themselves (curl --data-binary @FILE)"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-type", takes)
    _check_coding(request)
    async with aclosing(request.stream()) as pieces:
        while True:
            with trio.move_on_after(silence_s) as patience:
                piece = await anext(pieces, None)
            if patience.cancelled_caught:
                silence = f"nothing came for {silence_s:.0f} s"
                raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "body", silence)
            if piece is None:
                return
            yield piece


def _check_coding(request: Request) -> None:
    """Refuse what is compressed for its way, which would be kept as it came (RFC 9110, 8.4)."""
    given = request.headers.get("content-encoding", IDENTITY)
    if given.lower() != IDENTITY:
        takes = f"got {given[:64]!r}; it takes the bytes as they are"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-encoding", takes)


class Streamed(Response):
    """An answer whose pieces are sent as they come, until they end or the client is gone."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.pieces = pieces
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; an answer that breaks off is told from a whole one by its missing end."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        async with trio.open_nursery() as nursery, aclosing(self.pieces) as pieces:
            nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
            await send(start)
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            nursery.cancel_scope.cancel()


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
