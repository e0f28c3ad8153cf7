"""``POST /run``, as the Cocos manager documented it: a computation in, the id of its VM out."""

import uuid

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from supervisor.access.roles import Action
from supervisor.api.ports import Supervisor
from supervisor.api.refusals import denied, denied_for
from supervisor.api.scope import seen_by
from supervisor.cocos.computation import Computation, Untranslatable, read_computation
from supervisor.cocos.translation import Submission, translate
from supervisor.http_api import query
from supervisor.http_api.bodies import read_document
from supervisor.http_api.bounds import Bounds
from supervisor.http_api.operation import Content, Operation, caller_of, json_answer
from supervisor.vm.commands import CommandDenied, DenyReason

TAKES = 'The computation, or {"computation": ...} with its JSON as byte values or in base64.'

TAKEN = {
    DenyReason.IDEMPOTENCY_KEY_REUSED: "was given to another computation; choose another",
    DenyReason.VM_DELETED: "is of a computation that was deleted; choose another to run it again",
    DenyReason.VM_EXISTS: "is that of another VM; choose another",
}
"""What an id is that cannot be had; these clients know of no keys."""


class Accepted(msgspec.Struct, frozen=True):
    """The VM that runs the computation, or will once its inputs are there."""

    id: str


class Run:
    """The way in for clients of the older manager."""

    def __init__(self, supervisor: Supervisor, bounds: Bounds) -> None:
        self._supervisor = supervisor
        self._bounds = bounds

    def operations(self) -> tuple[Operation, ...]:
        """Return what is offered here."""
        return (
            Operation(
                "run",
                "POST",
                "/run",
                Action.SUBMIT,
                "Accept a computation as the Cocos manager took it; sent twice, it is one.",
                self._run,
                {200: Content("Accepted durably.", Accepted)},
                takes=Content(TAKES, Computation),
            ),
        )

    async def _run(self, request: Request) -> Response:
        query.parse(request)
        asked = _submission(await read_document(request, self._bounds.document_bytes))
        caller = caller_of(request)
        key = asked.key or uuid.uuid4().hex
        try:
            submitted = await seen_by(self._supervisor, caller).submit(
                asked.manifest, key=key, vm_id=asked.vm_id, caller=caller
            )
        except CommandDenied as refused:
            if refused.reason not in TAKEN:
                raise
            raise denied_for(refused.reason, "id", TAKEN[refused.reason]) from None
        return json_answer(Accepted(submitted.state.vm_id))


def _submission(document: bytes) -> Submission:
    try:
        return translate(read_computation(document))
    except Untranslatable as wrong:
        raise denied(DenyReason.INVALID_MANIFEST, wrong.violations) from None
