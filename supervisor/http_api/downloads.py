"""What a computation leaves: its result, what its guest wrote, what was said to its QEMU."""

import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from supervisor.access.roles import Action
from supervisor.api import files
from supervisor.api.ports import Supervisor
from supervisor.api.scope import SeenBy, seen_by
from supervisor.http_api import query
from supervisor.http_api.bodies import Streamed
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
from supervisor.vm.state import ENDED

LAUNCHES = 1_000_000_000
"""No VM is launched as often; a larger number is a slip."""
LAUNCH = Parameter(
    "launch",
    Place.QUERY,
    "Which launch; else the current one.",
    {"type": "integer", "minimum": 1, "maximum": LAUNCHES},
)
SERIAL, GUEST = "serial", "guest"
LOG = Parameter(
    "log",
    Place.QUERY,
    "`serial`: the console; `guest`: what the algorithm printed.",
    {"type": "string", "enum": [SERIAL, GUEST], "default": SERIAL},
)
FOLLOW = Parameter(
    "follow",
    Place.QUERY,
    "Go on with what is added, until the launch is over.",
    {"type": "boolean", "default": False},
)
ARCHIVE = "application/x-tar"
TEXT = "text/plain"
LINES = "application/x-ndjson"
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
"""What a guest wrote is never a page or a script."""


class LogView(msgspec.Struct, frozen=True):
    """Which log this is, what it holds by now, and the daemon's signature on it."""

    log_id: str
    node_id: str
    head: int
    verifier_key: str
    checkpoint: str


class Downloads:
    """What clients fetch."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def operations(self) -> tuple[Operation, ...]:
        """Return what is offered here."""
        return (
            self._file(
                "fetchResult",
                "result",
                Action.FETCH_RESULT,
                "Download the result archive.",
                self._result,
                ARCHIVE,
            ),
            self._file(
                "fetchConsole",
                "console",
                Action.FETCH_CONSOLE,
                "Read what the guest wrote.",
                self._console,
                TEXT,
                (LOG, LAUNCH, FOLLOW),
            ),
            self._file(
                "fetchTranscript",
                "transcript",
                Action.FETCH_TRANSCRIPT,
                "Read what was said between the daemon and QEMU.",
                self._transcript,
                LINES,
                (LAUNCH,),
            ),
            Operation(
                "getLog",
                "GET",
                "/v1/log",
                Action.GET_LOG,
                "Say which log this is, and sign what it holds by now.",
                self._log,
                {200: Content("The log.", LogView)},
            ),
        )

    def _file(
        self,
        name: str,
        last: str,
        action: Action,
        summary: str,
        handle: Callable[[Request], Awaitable[Response]],
        media_type: str,
        parameters: tuple[Parameter, ...] = (),
    ) -> Operation:
        return Operation(
            name,
            "GET",
            f"/v1/vms/{{vm_id}}/{last}",
            action,
            summary,
            handle,
            {200: Content("The bytes.", media_type=media_type)},
            (VM_ID, *parameters),
            span=Span.STREAMED,
        )

    async def _result(self, request: Request) -> Response:
        query.parse(request)
        vm_id: str = request.path_params["vm_id"]
        caller = caller_of(request)
        path, result = seen_by(self._supervisor, caller).open_result(vm_id, caller)
        digest = base64.b64encode(bytes.fromhex(result.sha256)).decode()
        headers = {
            **NO_SNIFFING,
            "Content-Length": str(result.size),
            "ETag": f'"{result.sha256}"',
            "Repr-Digest": f"sha-256=:{digest}:",  # RFC 9530, section 3
        }
        return Streamed(files.read_exactly(path, result.size), ARCHIVE, headers)

    async def _console(self, request: Request) -> Response:
        asked = query.parse(request)
        vm_id: str = request.path_params["vm_id"]
        launch, follow = _launch(asked), asked.flag(FOLLOW.name)
        seen = seen_by(self._supervisor, caller_of(request))
        find = _finder(seen, asked.text(LOG.name, SERIAL))
        find(vm_id, launch)  # what is wrong with the question is told before the answer begins

        def is_final() -> bool:
            state = seen.get(vm_id)
            over = launch is not None and launch < state.launch_number
            return not follow or over or state.phase in ENDED

        text = files.read_growing(lambda: find(vm_id, launch), is_final)
        return Streamed(text, f"{TEXT}; charset=utf-8", NO_SNIFFING)

    async def _transcript(self, request: Request) -> Response:
        asked = query.parse(request)
        vm_id: str = request.path_params["vm_id"]
        launch = _launch(asked)
        seen = seen_by(self._supervisor, caller_of(request))
        seen.get(vm_id)
        with files.deny_unreadable(f"the transcript of VM {vm_id!r}"):
            found = await seen.transcript(vm_id, launch)
        headers = {**NO_SNIFFING, "Chronovisor-Launch": str(found.launch)}
        return Streamed(_pieces(found.content), LINES, headers)

    async def _log(self, request: Request) -> Response:
        query.parse(request)
        signed = await self._supervisor.checkpoints.fresh()
        log, key = self._supervisor.log, self._supervisor.checkpoints.verifier_key
        return json_answer(LogView(log.log_id, log.node_id, log.head, key, signed.note))


def _finder(seen: SeenBy, log: str) -> Callable[[str, int | None], Path]:
    finders = {SERIAL: seen.console, GUEST: seen.guest_log}
    if log not in finders:
        takes = f"got {log[:40]!r}; it takes {SERIAL}, {GUEST}"
        raise query.wrong(LOG.name, takes)
    return finders[log]


def _launch(asked: query.Query) -> int | None:
    launch = asked.number(LAUNCH.name, LAUNCHES)
    if launch == 0:
        raise query.wrong(LAUNCH.name, "got 0; launches count from 1")
    return launch


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(content), files.CHUNK_BYTES):
        yield content[start : start + files.CHUNK_BYTES]
