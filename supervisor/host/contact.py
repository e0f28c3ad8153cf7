"""The QMP side of one live QEMU: reaching it, being sure that it is the one, relaying its events.

A QEMU that nobody commands is asked how it is now and then, so that a wedged one is noticed. One on
which it has fallen silent, even before its greeting, is a connection worth keeping: it has one
question open, whose answer comes the moment that QEMU wakes.

    ABSENT -> CONNECTING -> OPEN <-> SILENT
                   |_________________^
    each of them -> ABSENT when the connection ends
"""

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from math import inf
from pathlib import Path

import msgspec
import trio

from supervisor.host import proc
from supervisor.host.confinement import containment_of
from supervisor.host.interposing import Channel, Interpose, direct
from supervisor.host.monitor import COMMANDS, Step, machine_uuid, run_state, translate
from supervisor.host.report import Report
from supervisor.host.sockets import connect, serving_process
from supervisor.qmp.client import QmpClient
from supervisor.qmp.errors import QmpCommandRefused, QmpDisconnected, QmpError, QmpTimeout
from supervisor.qmp.event_buffer import EventsDropped
from supervisor.vm import layout
from supervisor.vm import observations as ob
from supervisor.vm.effects import QmpCommand
from supervisor.vm.observations import Observation, ProcessIdentity, RunState

Ask = Callable[[Step], Awaitable[object]]
Silence = Callable[[int, str], Observation]
Welcome = Callable[[QmpClient, tuple[str, ...]], Awaitable[Observation]]

WATCHED = "pidfd watched since it was proven"
"""A process that was proven once cannot become another while its pidfd is held."""
SAME_CONNECTION = "same QMP connection"
STATUS = Step("query-status")


class Patience(msgspec.Struct, frozen=True):
    """How long QEMU is waited for, in seconds, before it is called silent."""

    greeting_s: float = 15.0
    """It greets 25 ms after its start, and much later on a host with many starts at once."""
    command_s: float = 10.0
    """It answers within milliseconds; a host that swaps may need seconds."""
    exit_s: float = 2.0
    """A QEMU that exits closes its sockets first; only one that lives on has lost contact."""
    pulse_s: float = 5.0
    """What a QEMU may go unasked: with the answer's deadline, a wedged one is noticed within 15 s.
    Asking 200 of them costs one hundredth of a CPU."""


class ContactState(Enum):
    """Whether there is a QMP connection, and whether QEMU answers on it."""

    ABSENT = "absent"
    CONNECTING = "connecting"
    OPEN = "open"
    SILENT = "silent"


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
        interpose: Interpose = direct,
    ) -> None:
        self._launch = launch
        self._directory = directory
        self._uuid = uuid
        self._process = process
        self._exited = exited
        self._patience = patience
        self._interpose = interpose
        self._state = ContactState.ABSENT
        self._client: QmpClient | None = None
        self._doubt = trio.Event()

    async def begin(self, report: Report) -> None:
        """Attend a QEMU that was just spawned -> QmpReady | QmpLost, then its events."""
        await self._attend(report, self._ready, ob.QmpLost, ())

    async def resume(self, report: Report, evidence: tuple[str, ...]) -> None:
        """Attend a QEMU that was found again -> Reattached | ProcessSilent, then its events.

        ``evidence`` is what is proven already. Over a connection that is open, only asks again.
        """
        match self._state:
            case ContactState.ABSENT:
                await self._attend(report, self._reattached, ob.ProcessSilent, evidence)
            case ContactState.CONNECTING:
                pass  # the attempt that is under way will answer
            case ContactState.OPEN:
                await self._ask_again(report, evidence)
            case ContactState.SILENT:
                await report(ob.ProcessSilent(self._launch, "QEMU owes an answer still"))

    async def execute(self, command: QmpCommand, report: Report) -> None:
        """Execute a command -> nothing | QmpCommandFailed, QmpLost."""
        try:
            for step in COMMANDS[command]:
                await self.ask(step)
        except QmpError as error:
            if command is QmpCommand.QUIT and isinstance(error, QmpDisconnected):
                return  # that is how it obeys
            await self._failed(command.value, error, report)

    async def query_run_state(self, report: Report) -> None:
        """Ask QEMU how it stands -> RunStateObserved | QmpCommandFailed, QmpLost."""

        async def look(ask: Ask) -> Observation:
            return ob.RunStateObserved(self._launch, run_state(await ask(STATUS)))

        await self.consult(STATUS.name, look, report)

    async def consult(
        self, command: str, conversation: Callable[[Ask], Awaitable[Observation]], report: Report
    ) -> None:
        """Report what comes of a conversation with QEMU, or QmpCommandFailed of ``command``."""
        try:
            outcome = await conversation(self.ask)
        except QmpError as error:
            await self._failed(command, error, report)
        else:
            await report(outcome)

    async def ask(self, step: Step) -> object:
        """Return QEMU's answer. Raises QmpError."""
        if self._client is None:
            raise QmpDisconnected("not connected")
        return await _run(self._client, step, self._patience.command_s)

    async def _failed(self, command: str, error: QmpError, report: Report) -> None:
        refused = isinstance(error, QmpCommandRefused)
        failure = ob.QmpFailure.REFUSED if refused else ob.QmpFailure.UNANSWERED
        await report(ob.QmpCommandFailed(self._launch, command, str(error), failure))
        if isinstance(error, QmpTimeout):
            self._doubt.set()
            await self._fall_silent(report, ob.QmpLost, str(error))

    async def _attend(
        self, report: Report, welcome: Welcome, silence: Silence, evidence: tuple[str, ...]
    ) -> None:
        self._state = ContactState.CONNECTING
        try:
            stream = await connect(self._directory, layout.QMP_SOCKET)
            async with stream:
                proofs = (*evidence, *self._peer(stream))
                farewell = await self._converse(stream, report, welcome, silence, proofs)
        except (OSError, AnotherMachine) as error:
            farewell = silence(self._launch, f"QMP cannot be reached: {error}")
        finally:
            self._state = ContactState.ABSENT
        with trio.move_on_after(self._patience.exit_s):
            await self._exited.wait()
        if not self._exited.is_set():
            await report(farewell)

    def _peer(self, stream: trio.SocketStream) -> tuple[str, ...]:
        """Return the proof by SO_PEERCRED, which names who listened last.

        That is QEMU from its second client on; before, it is the daemon that bound the socket.
        """
        pid = serving_process(stream)
        if pid == self._process.pid:
            return (f"QMP socket served by process {pid}",)
        if pid != os.getpid() and proc.owner(pid) is not None:
            raise AnotherMachine(f"process {pid} serves the socket, not {self._process.pid}")
        return ()

    async def _converse(
        self,
        stream: trio.SocketStream,
        report: Report,
        welcome: Welcome,
        silence: Silence,
        proofs: tuple[str, ...],
    ) -> Observation:
        """Relay events until the connection ends; return what is to be said of its end."""
        async with trio.open_nursery() as nursery:
            client = QmpClient(self._interpose(Channel.QMP, self._directory, stream))
            nursery.start_soon(client.run)
            try:
                with self._impatient(nursery, report, silence, self._patience.greeting_s):
                    greeting = await welcome(client, proofs)
            except (QmpError, AnotherMachine) as error:
                nursery.cancel_scope.cancel()
                return silence(self._launch, str(error))
            self._client, self._state = client, ContactState.OPEN
            try:
                await report(greeting)
                nursery.start_soon(self._feel_pulse, client, nursery, report)
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

    async def _feel_pulse(self, client: QmpClient, nursery: trio.Nursery, report: Report) -> None:
        """Ask now and then, and wait for each answer as long as it takes -> QmpLost, Reattached."""
        while True:
            with trio.move_on_after(self._patience.pulse_s):
                await self._doubt.wait()
            self._doubt = trio.Event()
            try:
                with self._impatient(nursery, report, ob.QmpLost, self._patience.command_s):
                    state = run_state(await _run(client, STATUS, inf))
            except QmpCommandRefused:
                continue  # it is awake, and will be asked again
            except QmpDisconnected:
                return
            if self._state is ContactState.SILENT:
                self._state = ContactState.OPEN
                await report(self._adopted(state, (WATCHED, SAME_CONNECTION)))

    @contextmanager
    def _impatient(
        self, nursery: trio.Nursery, report: Report, silence: Silence, seconds: float
    ) -> Iterator[None]:
        """Call QEMU silent when what is done within takes too long, and go on waiting."""
        waiting = trio.CancelScope()

        async def complain() -> None:
            with waiting:
                await trio.sleep(seconds)
                detail = f"QEMU did not answer within {seconds:g} s"
                await self._fall_silent(report, silence, detail)

        nursery.start_soon(complain)
        try:
            yield
        finally:
            waiting.cancel()

    async def _fall_silent(self, report: Report, silence: Silence, detail: str) -> None:
        if self._state is not ContactState.SILENT:
            self._state = ContactState.SILENT
            await report(silence(self._launch, detail))

    async def _ready(self, client: QmpClient, proofs: tuple[str, ...]) -> Observation:
        version = await client.negotiate(deadline_s=inf)
        proof = await self._prove(client)
        if self._state is ContactState.SILENT:  # it was said that contact was lost
            return await self._greeted_again(client, (WATCHED, *proofs, proof))
        return ob.QmpReady(self._launch, version, containment_of(self._process.pid))

    async def _reattached(self, client: QmpClient, proofs: tuple[str, ...]) -> Observation:
        await client.negotiate(deadline_s=inf)
        return await self._greeted_again(client, (*proofs, await self._prove(client)))

    async def _greeted_again(self, client: QmpClient, proofs: tuple[str, ...]) -> Observation:
        return self._adopted(run_state(await _run(client, STATUS, inf)), proofs)

    async def _ask_again(self, report: Report, evidence: tuple[str, ...]) -> None:
        try:
            state = run_state(await self.ask(STATUS))
        except QmpError as error:
            self._doubt.set()
            await self._fall_silent(report, ob.ProcessSilent, str(error))
        else:
            await report(self._adopted(state, (*evidence, SAME_CONNECTION)))

    def _adopted(self, state: RunState, evidence: tuple[str, ...]) -> Observation:
        held = containment_of(self._process.pid)
        return ob.Reattached(self._launch, self._process, state, evidence, held)

    async def _prove(self, client: QmpClient) -> str:
        uuid = machine_uuid(await _run(client, Step("query-uuid"), inf))
        if uuid != self._uuid:
            raise AnotherMachine(f"QMP answers for the machine {uuid!r:.80}, not {self._uuid}")
        return f"query-uuid {uuid}"


async def _run(client: QmpClient, step: Step, deadline_s: float) -> object:
    return await client.execute(step.name, step.arguments, deadline_s=deadline_s)
