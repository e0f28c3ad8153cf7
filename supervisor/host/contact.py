"""The QMP side of one live QEMU: reaching it, being sure that it is the one, relaying its events.

A connection on which QEMU has fallen silent is kept: what it has to say waits in the socket and
comes when it wakes.

    ABSENT -> CONNECTING -> OPEN -> ABSENT
                  |___________________^
"""

from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path

import msgspec
import trio

from supervisor.host.monitor import (
    COMMANDS,
    Step,
    machine_uuid,
    run_state,
    translate,
)
from supervisor.host.report import Report
from supervisor.host.sockets import connect
from supervisor.qmp.client import QmpClient
from supervisor.qmp.errors import QmpDisconnected, QmpError, QmpTimeout
from supervisor.qmp.event_buffer import EventsDropped
from supervisor.vm import layout
from supervisor.vm import observations as ob
from supervisor.vm.effects import QmpCommand
from supervisor.vm.observations import Observation, ProcessIdentity, RunState

Welcome = Callable[[QmpClient], Awaitable[Observation]]
Silence = Callable[[int, str], Observation]


class Patience(msgspec.Struct, frozen=True):
    """How long QEMU is waited for, in seconds, before it is called silent."""

    greeting_s: float = 15.0
    """It greets 25 ms after its start, and much later on a host with many starts at once."""
    command_s: float = 10.0
    """It answers within milliseconds; a host that swaps may need seconds."""
    exit_s: float = 2.0
    """A QEMU that exits closes its sockets first; only one that lives on has lost contact."""


class ContactState(Enum):
    """Whether there is a QMP connection."""

    ABSENT = "absent"
    CONNECTING = "connecting"
    OPEN = "open"


class AnotherMachine(Exception):
    """QMP answers for a machine that is not this launch's."""


class Contact:
    """The QMP connection of one launch, through all its renewals."""

    def __init__(
        self,
        launch: int,
        directory: Path,
        uuid: str,
        process: ProcessIdentity,
        exited: trio.Event,
        patience: Patience,
    ) -> None:
        self._launch = launch
        self._directory = directory
        self._uuid = uuid
        self._process = process
        self._exited = exited
        self._patience = patience
        self._state = ContactState.ABSENT
        self._client: QmpClient | None = None

    async def begin(self, report: Report) -> None:
        """Attend a QEMU that was just spawned -> QmpReady | QmpLost, then its events."""
        await self._attend(report, self._ready, ob.QmpLost)

    async def resume(self, report: Report, evidence: tuple[str, ...]) -> None:
        """Attend a QEMU that was found again -> Reattached | ProcessSilent, then its events.

        ``evidence`` is what is proven already. Over a connection that is open, only asks again.
        """

        async def welcome(client: QmpClient) -> Observation:
            return await self._reattached(client, evidence)

        match self._state:
            case ContactState.ABSENT:
                await self._attend(report, welcome, ob.ProcessSilent)
            case ContactState.CONNECTING:
                pass  # the attempt that is under way will answer
            case ContactState.OPEN:
                await self._ask_again(report, evidence)

    async def execute(self, command: QmpCommand, report: Report) -> None:
        """Execute a command -> nothing | QmpCommandFailed, QmpLost."""
        try:
            for step in COMMANDS[command]:
                await self._execute(step)
        except QmpError as error:
            if command is QmpCommand.QUIT and isinstance(error, QmpDisconnected):
                return  # that is how it obeys
            await self._failed(command.value, error, report)

    async def query_run_state(self, report: Report) -> None:
        """Ask QEMU how it stands -> RunStateObserved | QmpCommandFailed, QmpLost."""
        try:
            state = run_state(await self._execute(Step("query-status")))
        except QmpError as error:
            await self._failed("query-status", error, report)
        else:
            await report(ob.RunStateObserved(self._launch, state))

    async def _execute(self, step: Step) -> object:
        if self._client is None:
            raise QmpDisconnected("not connected")
        return await self._run(self._client, step)

    async def _failed(self, command: str, error: QmpError, report: Report) -> None:
        await report(ob.QmpCommandFailed(self._launch, command, str(error)))
        if isinstance(error, QmpTimeout):
            await report(ob.QmpLost(self._launch, str(error)))

    async def _attend(self, report: Report, welcome: Welcome, silence: Silence) -> None:
        self._state = ContactState.CONNECTING
        try:
            stream = await connect(self._directory, layout.QMP_SOCKET)
            async with stream:
                farewell = await self._converse(stream, report, welcome, silence)
        except OSError as error:
            farewell = silence(self._launch, f"QMP cannot be reached: {error}")
        finally:
            self._state = ContactState.ABSENT
        with trio.move_on_after(self._patience.exit_s):
            await self._exited.wait()
        if not self._exited.is_set():
            await report(farewell)

    async def _converse(
        self, stream: trio.SocketStream, report: Report, welcome: Welcome, silence: Silence
    ) -> Observation:
        """Relay events until the connection ends; return what is to be said of its end."""
        async with trio.open_nursery() as nursery:
            client = QmpClient(stream)
            nursery.start_soon(client.run)
            try:
                greeting = await welcome(client)
            except (QmpError, AnotherMachine) as error:
                nursery.cancel_scope.cancel()
                return silence(self._launch, str(error))
            self._client, self._state = client, ContactState.OPEN
            try:
                await report(greeting)
                await self._relay(client, report)
            finally:
                self._client = None
            nursery.cancel_scope.cancel()
        return ob.QmpLost(self._launch, "QEMU closed the QMP connection")

    async def _relay(self, client: QmpClient, report: Report) -> None:
        async for event in client.events:
            if isinstance(event, EventsDropped):
                await report(ob.ObservationsDropped(self._launch, event.count))
            elif (observation := translate(self._launch, event)) is not None:
                await report(observation)

    async def _ready(self, client: QmpClient) -> Observation:
        version = await client.negotiate(deadline_s=self._patience.greeting_s)
        await self._prove(client)
        return ob.QmpReady(self._launch, version)

    async def _reattached(self, client: QmpClient, evidence: tuple[str, ...]) -> Observation:
        await client.negotiate(deadline_s=self._patience.greeting_s)
        proof = await self._prove(client)
        state = run_state(await self._run(client, Step("query-status")))
        return self._adopted(state, (*evidence, proof))

    async def _ask_again(self, report: Report, evidence: tuple[str, ...]) -> None:
        try:
            state = run_state(await self._execute(Step("query-status")))
        except QmpError as error:
            await report(ob.ProcessSilent(self._launch, str(error)))
        else:
            await report(self._adopted(state, (*evidence, "same QMP connection")))

    def _adopted(self, state: RunState, evidence: tuple[str, ...]) -> Observation:
        return ob.Reattached(self._launch, self._process, state, evidence)

    async def _prove(self, client: QmpClient) -> str:
        uuid = machine_uuid(await self._run(client, Step("query-uuid")))
        if uuid != self._uuid:
            raise AnotherMachine(f"QMP answers for the machine {uuid!r:.80}, not {self._uuid}")
        return f"query-uuid {uuid}"

    async def _run(self, client: QmpClient, step: Step) -> object:
        deadline_s = self._patience.command_s
        return await client.execute(step.name, step.arguments, deadline_s=deadline_s)
