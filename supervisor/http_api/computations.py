"""Computations and the VMs that run them, as resources."""

from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from supervisor.access.roles import Action
from supervisor.api.listing import PAGE_MOST, Wanted, choose
from supervisor.api.ports import Supervisor
from supervisor.api.refusals import refuse
from supervisor.api.scope import seen_by
from supervisor.http_api import query
from supervisor.http_api.bodies import read_document
from supervisor.http_api.bounds import Bounds
from supervisor.http_api.manifest_json import to_manifest
from supervisor.http_api.operation import (
    VM_ID,
    Content,
    Operation,
    Parameter,
    Place,
    caller_of,
    json_answer,
)
from supervisor.http_api.view import VmView, view
from supervisor.vm.commands import (
    Command,
    Delete,
    Kill,
    Pause,
    Reset,
    Resume,
    Start,
    Stop,
)
from supervisor.vm.ranges import STOP_GRACE_MOST_MS
from supervisor.vm.rules import IDEMPOTENCY_KEY_BYTES, check_idempotency_key, check_vm_id
from supervisor.vm.spec import Manifest
from supervisor.vm.state import Phase, VmState

IDEMPOTENCY_KEY = "Idempotency-Key"
PHASES = {phase.value: phase.name for phase in Phase if phase is not Phase.DELETED}

KEY = Parameter(
    IDEMPOTENCY_KEY,
    Place.HEADER,
    "Names this request: sent twice, it is one computation.",
    {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_BYTES, "pattern": "^[ -~]+$"},
    required=True,
)
CHOSEN_ID = msgspec.structs.replace(
    VM_ID, place=Place.QUERY, description="The id that the VM is to have.", required=False
)
GRACE = Parameter(
    "grace_ms",
    Place.QUERY,
    "What the guest gets to end by itself, in milliseconds; else what its manifest says.",
    {"type": "integer", "minimum": 0, "maximum": STOP_GRACE_MOST_MS},
)
FILTERS = (
    Parameter(
        "phase",
        Place.QUERY,
        "Only VMs in one of these phases.",
        {"type": "array", "items": {"type": "string", "enum": sorted(PHASES)}},
    ),
    Parameter(
        "label",
        Place.QUERY,
        "Only VMs with all of these labels, as KEY=VALUE.",
        {"type": "array", "items": {"type": "string", "pattern": "^[^=]+="}},
    ),
    Parameter(
        "page_size",
        Place.QUERY,
        "The most VMs that the answer may hold; 0 is 100.",
        {"type": "integer", "minimum": 0, "maximum": PAGE_MOST},
    ),
    Parameter("page_token", Place.QUERY, "The `next_page_token` of the page before."),
)
COMMANDS: dict[str, tuple[Action, Command, str]] = {
    "start": (Action.START, Start(), "Launch a VM that ended once more."),
    "kill": (Action.KILL, Kill(), "End a VM at once, without asking the guest."),
    "pause": (Action.PAUSE, Pause(), "Freeze the guest's CPUs; its deadlines keep running."),
    "resume": (Action.RESUME, Resume(), "Let a paused guest run on."),
    "reset": (Action.RESET, Reset(), "Press the reset button: the guest boots again."),
}
VM = Content("The VM, once what was ordered is durable.", VmView)


class VmPage(msgspec.Struct, frozen=True):
    """VMs in the order of their ids; ``next_page_token`` is empty on the last page.

    A page of VMs with long manifests may hold fewer than were asked for.
    """

    vms: tuple[VmView, ...]
    next_page_token: str


class Computations:
    """What clients do with computations."""

    def __init__(self, supervisor: Supervisor, bounds: Bounds) -> None:
        self._supervisor = supervisor
        self._bounds = bounds

    def operations(self) -> tuple[Operation, ...]:
        """Return what is offered here."""
        return (
            Operation(
                "submitComputation",
                "POST",
                "/v1/computations",
                Action.SUBMIT,
                "Accept a computation durably; a VM runs it.",
                self._submit,
                {
                    201: Content("The new VM.", VmView),
                    200: Content("The VM that an earlier request with this key made.", VmView),
                },
                (KEY, CHOSEN_ID),
                Content("The manifest: sizes in bytes, times in milliseconds.", Manifest),
            ),
            Operation(
                "listVms",
                "GET",
                "/v1/vms",
                Action.LIST_VMS,
                "List VMs, page by page.",
                self._list,
                {200: Content("One page.", VmPage)},
                FILTERS,
            ),
            Operation(
                "getVm",
                "GET",
                "/v1/vms/{vm_id}",
                Action.GET_VM,
                "Read one VM.",
                self._get,
                {200: Content("The VM.", VmView)},
                (VM_ID,),
            ),
            Operation(
                "deleteVm",
                "DELETE",
                "/v1/vms/{vm_id}",
                Action.DELETE,
                "Remove what is left of a VM that ended; its events stay in the log.",
                self._delete,
                {200: VM},
                (VM_ID,),
            ),
            Operation(
                "stopVm",
                "POST",
                "/v1/vms/{vm_id}/stop",
                Action.STOP,
                "End a VM in good order: ask the guest, then QEMU, then its process.",
                self._stop,
                {200: VM},
                (VM_ID, GRACE),
            ),
            *(self._order(name) for name in COMMANDS),
        )

    def _order(self, name: str) -> Operation:
        action, command, summary = COMMANDS[name]

        async def handle(request: Request) -> Response:
            query.parse(request)
            return await self._command(request, command)

        path = f"/v1/vms/{{vm_id}}/{name}"
        return Operation(f"{name}Vm", "POST", path, action, summary, handle, {200: VM}, (VM_ID,))

    async def _submit(self, request: Request) -> Response:
        key = request.headers.get(IDEMPOTENCY_KEY, "")
        if check_idempotency_key(key):
            takes = f"it takes 1 to {IDEMPOTENCY_KEY_BYTES} printable ASCII characters"
            raise query.wrong(IDEMPOTENCY_KEY, f"got {key[:40]!r}; {takes}")
        vm_id = query.parse(request).once.get("vm_id")
        refuse(() if vm_id is None else check_vm_id(vm_id))
        manifest = to_manifest(await read_document(request, self._bounds.document_bytes))
        caller = caller_of(request)
        seen = seen_by(self._supervisor, caller)
        submitted = await seen.submit(manifest, key=key, vm_id=vm_id, caller=caller)
        vm = self._view(submitted.state)
        status = HTTPStatus.OK if submitted.reused else HTTPStatus.CREATED
        return json_answer(vm, status, {"Location": f"/v1/vms/{vm.vm_id}"})

    async def _list(self, request: Request) -> Response:
        asked = query.parse(request)
        wanted = Wanted(
            frozenset(_phase(name) for name in asked.often["phase"]),
            dict(_label(written) for written in asked.often["label"]),
            asked.number("page_size", PAGE_MOST) or 0,
            asked.text("page_token"),
        )
        seen = seen_by(self._supervisor, caller_of(request))
        vms, token = choose(
            seen.list(), wanted, lambda state: msgspec.json.encode(self._view(state))
        )
        return json_answer({"vms": [*map(msgspec.Raw, vms)], "next_page_token": token})

    async def _get(self, request: Request) -> Response:
        query.parse(request)
        seen = seen_by(self._supervisor, caller_of(request))
        return json_answer(self._view(seen.get(request.path_params["vm_id"])))

    async def _delete(self, request: Request) -> Response:
        query.parse(request)
        return await self._command(request, Delete())

    async def _stop(self, request: Request) -> Response:
        asked = query.parse(request)
        return await self._command(request, Stop(asked.number(GRACE.name, STOP_GRACE_MOST_MS)))

    async def _command(self, request: Request, command: Command) -> Response:
        vm_id, caller = request.path_params["vm_id"], caller_of(request)
        seen = seen_by(self._supervisor, caller)
        return json_answer(self._view(await seen.command(vm_id, command, caller)))

    def _view(self, state: VmState) -> VmView:
        return view(state, self._supervisor.queue_position(state.vm_id))


def _phase(name: str) -> str:
    if name not in PHASES:
        raise query.wrong("phase", f"got {name[:40]!r}; it takes {', '.join(PHASES)}")
    return PHASES[name]


def _label(written: str) -> tuple[str, str]:
    key, separator, value = written.partition("=")
    if not key or not separator:
        raise query.wrong("label", f"got {written[:40]!r}; it takes KEY=VALUE")
    return key, value
