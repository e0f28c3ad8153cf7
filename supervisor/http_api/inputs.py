"""Inputs that parties bring to a computation: the bytes themselves, or the digest of stored."""

from contextlib import aclosing

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from supervisor.access.roles import Action
from supervisor.api.ports import Supervisor
from supervisor.api.refusals import denied_for, refuse
from supervisor.api.scope import seen_by
from supervisor.http_api import query
from supervisor.http_api.bodies import JSON, is_json, read_document, read_pieces
from supervisor.http_api.bounds import Bounds
from supervisor.http_api.operation import (
    VM_ID,
    Content,
    Operation,
    Parameter,
    Place,
    Span,
    caller_of,
    json_answer,
)
from supervisor.http_api.view import VmView, view
from supervisor.vm.commands import DenyReason
from supervisor.vm.field_rules import check_digest
from supervisor.vm.inputs import InputName
from supervisor.vm.providing import check_wanted

NAME = {"type": "string", "pattern": "^[^/]+$", "minLength": 1, "maxLength": 128}
PROVIDER = Parameter("provider", Place.PATH, "Who provides it.", NAME, required=True)
INPUT_ID = Parameter("id", Place.PATH, "What the provider calls it.", NAME, required=True)
BYTES = Content(
    f"The bytes; or, as {JSON}, an object with the `sha256` of stored ones.",
    media_type="application/octet-stream",
)
REFERENCE_BYTES = 1024
"""A digest in JSON has some 80."""


class StoredBytes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An artifact that was uploaded before."""

    sha256: str


class Inputs:
    """What parties bring."""

    def __init__(self, supervisor: Supervisor, bounds: Bounds) -> None:
        self._supervisor = supervisor
        self._bounds = bounds

    def operations(self) -> tuple[Operation, ...]:
        """Return what is offered here."""
        return (
            Operation(
                "provideInput",
                "PUT",
                "/v1/vms/{vm_id}/inputs/{provider}/{id}",
                Action.PROVIDE_INPUT,
                "Bring an input that a computation awaits; with the last one it goes on.",
                self._provide,
                {200: Content("The VM, once the input is durable.", VmView)},
                (VM_ID, PROVIDER, INPUT_ID),
                BYTES,
                span=Span.STREAMED,
            ),
        )

    async def _provide(self, request: Request) -> Response:
        query.parse(request)
        vm_id: str = request.path_params["vm_id"]
        name = InputName(request.path_params["provider"], request.path_params["id"])
        caller = caller_of(request)
        seen = seen_by(self._supervisor, caller)
        # Before bytes come that nobody wants.
        seen.check_provider(vm_id, name.provider)
        check_wanted(seen.get(vm_id), name)
        sha256 = await self._digest(request)
        state = await seen.provide_input(vm_id, name, sha256, caller)
        return json_answer(view(state, self._supervisor.queue_position(vm_id)))

    async def _digest(self, request: Request) -> str:
        if is_json(request):
            return _named(await read_document(request, REFERENCE_BYTES))
        async with aclosing(read_pieces(request, self._bounds.silence_s)) as pieces:
            caller = caller_of(request)
            return (await self._supervisor.upload(pieces, sha256=None, caller=caller)).sha256


def _named(document: bytes) -> str:
    try:
        sha256 = msgspec.json.decode(document, type=StoredBytes).sha256
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        takes = f"{error}; it takes an object with sha256, or bytes of another media type"
        raise denied_for(DenyReason.INVALID_ARGUMENT, "body", takes) from None
    refuse(tuple(check_digest("sha256", sha256)))
    return sha256
