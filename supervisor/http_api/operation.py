"""What an operation of the API is: how it is asked for, what it answers, who does it.

From the table of them come the routes, the parameters that are taken, and the OpenAPI document, so
they cannot differ.
"""

from collections.abc import Awaitable, Callable
from enum import Enum

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from supervisor.access.roles import Action
from supervisor.caller import Caller


class Span(Enum):
    """How long an operation may take."""

    BOUNDED = "bounded"
    STREAMED = "streamed"
    """As long as bytes come or go; each piece has its deadline."""


class Place(Enum):
    """Where in a request a parameter stands."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"


class Parameter(msgspec.Struct, frozen=True):
    """One parameter; ``schema`` is JSON Schema."""

    name: str
    place: Place
    description: str
    schema: dict[str, object] = msgspec.field(default_factory=lambda: {"type": "string"})
    required: bool = False

    @property
    def may_repeat(self) -> bool:
        """Whether it may be given more than once."""
        return self.schema.get("type") == "array"


class Content(msgspec.Struct, frozen=True):
    """A body: of JSON, with the type that it is made from, or of another media type."""

    description: str
    schema: type | None = None
    media_type: str = "application/json"


class Operation(msgspec.Struct, frozen=True):
    """One method of one path. ``handle`` may raise CommandDenied or Refusal.

    It is called for callers to whose role ``action`` is permitted.
    """

    name: str
    method: str
    path: str
    action: Action
    summary: str
    handle: Callable[[Request], Awaitable[Response]]
    answers: dict[int, Content]
    parameters: tuple[Parameter, ...] = ()
    takes: Content | None = None
    span: Span = Span.BOUNDED


VM_ID = Parameter(
    "vm_id",
    Place.PATH,
    "The VM.",
    {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"},
    required=True,
)


def caller_of(request: Request) -> Caller:
    """Return who asks, as the gate found out."""
    caller: Caller = request.state.caller
    return caller


def json_answer(
    value: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return an answer of JSON, made from a value of msgspec's."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")
