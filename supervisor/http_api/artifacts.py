"""Uploads: the bytes themselves as the body, stored under their digest."""

from contextlib import aclosing

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from supervisor.access.roles import Action
from supervisor.api.ports import Supervisor
from supervisor.api.refusals import mismatches_named, refuse
from supervisor.http_api import query
from supervisor.http_api.bodies import read_pieces
from supervisor.http_api.bounds import Bounds
from supervisor.http_api.operation import (
    Content,
    Operation,
    Parameter,
    Place,
    Span,
    caller_of,
    json_answer,
)
from supervisor.vm.field_rules import check_digest

BYTES = Content("The bytes.", media_type="application/octet-stream")
DIGEST = Parameter(
    "sha256",
    Place.PATH,
    "What the SHA-256 of the bytes must be.",
    {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    required=True,
)


class Artifact(msgspec.Struct, frozen=True):
    """A file that is stored durably; ``size`` in bytes."""

    sha256: str
    size: int


class Artifacts:
    """What clients bring."""

    def __init__(self, supervisor: Supervisor, bounds: Bounds) -> None:
        self._supervisor = supervisor
        self._bounds = bounds

    def operations(self) -> tuple[Operation, ...]:
        """Return what is offered here."""
        return (
            Operation(
                "addArtifact",
                "POST",
                "/v1/artifacts",
                Action.UPLOAD,
                "Store a file under its digest.",
                self._add,
                {201: Content("What was stored.", Artifact)},
                takes=BYTES,
                span=Span.STREAMED,
            ),
            Operation(
                "putArtifact",
                "PUT",
                "/v1/artifacts/{sha256}",
                Action.UPLOAD,
                "Store a file that must have this digest; else nothing is kept.",
                self._put,
                {200: Content("What was stored.", Artifact)},
                (DIGEST,),
                BYTES,
                span=Span.STREAMED,
            ),
        )

    async def _add(self, request: Request) -> Response:
        return json_answer(await self._store(request, None), 201)

    async def _put(self, request: Request) -> Response:
        sha256: str = request.path_params["sha256"]
        refuse(tuple(check_digest("sha256", sha256)))
        with mismatches_named("sha256"):
            return json_answer(await self._store(request, sha256))

    async def _store(self, request: Request, sha256: str | None) -> Artifact:
        query.parse(request)
        async with aclosing(read_pieces(request, self._bounds.silence_s)) as pieces:
            caller = caller_of(request)
            stored = await self._supervisor.upload(pieces, sha256=sha256, caller=caller)
        return Artifact(stored.sha256, stored.size)
