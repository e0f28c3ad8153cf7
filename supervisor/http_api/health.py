"""Probes: whether the process answers, and whether it is worth while to send it requests."""

from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from supervisor.access.roles import Action
from supervisor.api.readiness import Readiness, Standing
from supervisor.http_api.operation import Content, Operation, json_answer


class Health(msgspec.Struct, frozen=True):
    """``status`` is one word: serving, recovering or leaving."""

    status: str


class Probes:
    """What orchestrators ask."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def operations(self) -> tuple[Operation, ...]:
        """Return what is offered here."""
        healthy = Content("The daemon answers.", Health)
        ready = Content("Every VM was heard of, or is called silent.", Health)
        unready = Content("VMs are being looked for still, or the daemon is leaving.", Health)
        return (
            Operation(
                "healthz",
                "GET",
                "/healthz",
                Action.PROBE,
                "Say that the daemon answers.",
                self._health,
                {200: healthy},
            ),
            Operation(
                "readyz",
                "GET",
                "/readyz",
                Action.PROBE,
                "Say whether to send requests here.",
                self._ready,
                {200: ready, 503: unready},
            ),
        )

    async def _health(self, _request: Request) -> Response:
        return json_answer(self._told())

    async def _ready(self, _request: Request) -> Response:
        serving = self._readiness.standing is Standing.SERVING
        return json_answer(
            self._told(), HTTPStatus.OK if serving else HTTPStatus.SERVICE_UNAVAILABLE
        )

    def _told(self) -> Health:
        return Health(self._readiness.standing.name.lower())
