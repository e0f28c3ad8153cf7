"""Performs the effects of one VM: one match, one line per effect."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import assert_never

import trio

from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.artifacts.store import ArtifactStore
from supervisor.host import agent_protocol, cleanup, transport_keys
from supervisor.host.adoption import Found, find_process
from supervisor.host.confinement import Confinement
from supervisor.host.contact import Ask, Patience
from supervisor.host.facts import HostFacts
from supervisor.host.images import Images
from supervisor.host.interposing import Interpose, direct
from supervisor.host.launch_files import NotTheFile, open_files
from supervisor.host.measuring import REPORT, fetch_report, inject_secret, measure_launch
from supervisor.host.platform import read_platform
from supervisor.host.prepare import LaunchPreparation
from supervisor.host.process import Process
from supervisor.host.readiness import console_says, port_answers
from supervisor.host.report import Report
from supervisor.host.results_disk import collect
from supervisor.host.session import Session
from supervisor.host.spawn import LISTENERS, LOCK_PIDFILE, WITHOUT_AGENT, explain, spawn
from supervisor.host.timers import Timers, wall_clock_ms
from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.confidential import Snp
from supervisor.vm.effects import Effect
from supervisor.vm.guest_agent import ReferenceAgent
from supervisor.vm.observations import Observation

PATIENCE = Patience()
AS_OURSELVES = Confinement()
"""As the user who runs the daemon, with resource limits."""
NOT_CONNECTED = "not connected to QEMU"
OWN_AGENT = "the guest's agent is its own: ask that for a report"


class VmHost:
    """The world of one VM, under ``directory``, which is private to the daemon's user."""

    def __init__(
        self,
        vm_id: str,
        directory: Path,
        *,
        artifacts: ArtifactStore,
        catalogue: Catalogue,
        digests: DigestCache,
        machine: HostFacts,
        now_ms: Callable[[], int] = wall_clock_ms,
        patience: Patience = PATIENCE,
        interpose: Interpose = direct,
        confinement: Confinement = AS_OURSELVES,
    ) -> None:
        self._vm_id = vm_id
        self._directory = directory
        self._artifacts = artifacts
        self._digests = digests
        self._confinement = confinement
        self._machine = machine
        self._patience = patience
        self._interpose = interpose
        self._timers = Timers(now_ms)
        self._sessions: dict[int, Session] = {}
        # One at a time: a VM may be deleted while its files are still being made or cleared.
        self._files = trio.Lock()
        self._preparation = LaunchPreparation(
            vm_id,
            directory,
            artifacts=artifacts,
            images=Images(artifacts, catalogue, digests),
            machine=machine,
        )

    async def perform(self, effect: Effect, report: Report) -> None:
        """Do what ``effect`` says; what comes of it is reported.

        SpawnQemu and the first Reattach last until QEMU is gone. Cancelling leaves it running.
        """
        match effect:
            case fx.PrepareLaunch():
                await report(await self._prepare(effect))
            case fx.SpawnQemu():
                await self._spawn(effect, report)
            case fx.Reattach():
                await self._reattach(effect, report)
            case fx.ExecuteQmp():
                await self._execute(effect, report)
            case fx.QueryRunState():
                await self._query_run_state(effect, report)
            case fx.MeasureLaunch():
                await self._consult(
                    effect.launch, fx.MEASURE, partial(measure_launch, effect), report
                )
            case fx.InjectSecret():
                await self._consult(
                    effect.launch, fx.INJECT, partial(inject_secret, effect), report
                )
            case fx.RequestReport():
                await self._fetch_report(effect, report)
            case fx.StartComputation(launch=launch):
                await self._tell_agent(launch, agent_protocol.start(launch))
            case fx.StopComputation(launch=launch):
                await self._tell_agent(launch, agent_protocol.stop(launch))
            case fx.AwaitPort() | fx.AwaitLine():
                await self._await_ready(effect, report)
            case fx.AcknowledgeAgent(launch=launch, seq=seq):
                await self._tell_agent(launch, agent_protocol.acknowledge(launch, seq))
            case fx.ArmTimer():
                await self._time(effect, report)
            case fx.SignalProcess():
                self._signal(effect)
            case fx.CollectResult():
                async with self._files:
                    result = await trio.to_thread.run_sync(collect, effect, self._artifacts)
                await report(result)
            case fx.ReleaseLaunch():
                self._timers.release(effect.launch)
                async with self._files:
                    await trio.to_thread.run_sync(cleanup.release, Path(effect.directory))
            case fx.RemoveFiles():
                await report(await self._remove(effect))
            case fx.Reserve():
                raise AssertionError("what VMs share is not for the host of one VM")
            case _:
                assert_never(effect)

    async def _prepare(self, order: fx.PrepareLaunch) -> ob.LaunchPrepared | ob.LaunchImpossible:
        platform = None
        if order.manifest.confidential:
            platform = await read_platform(self._machine.qemu, self._confinement.user)
        async with self._files:
            return await trio.to_thread.run_sync(self._preparation.prepare, order, platform)

    async def _remove(self, order: fx.RemoveFiles) -> ob.FilesRemoved | ob.RemovalFailed:
        try:
            async with self._files:
                await trio.to_thread.run_sync(cleanup.remove, self._directory)
        except cleanup.Unremovable as why:
            return ob.RemovalFailed(order.launch, str(why))
        return ob.FilesRemoved(order.launch)

    async def _spawn(self, order: fx.SpawnQemu, report: Report) -> None:
        try:
            process = await trio.to_thread.run_sync(self._start, order)
        except (OSError, NotTheFile) as error:
            self._let_go(order.launch)
            await report(ob.SpawnFailed(order.launch, explain(error, order.argv[0])))
            return
        with self._session(Session(order, process, self._patience, self._interpose)) as session:
            await report(ob.QemuSpawned(order.launch, process.identity))
            await session.attend(report, session.contact.begin)
        self._let_go(order.launch)

    def _start(self, order: fx.SpawnQemu) -> Process:
        directory, boot_id = Path(order.directory), self._machine.boot_id
        orders = self._confinement.orders(f"{self._vm_id}-{order.launch}", order.bounds)
        with open_files(order, self._digests, self._confinement.user) as files:
            orders = (LOCK_PIDFILE, *orders)
            listeners = LISTENERS if isinstance(order.agent, ReferenceAgent) else WITHOUT_AGENT
            return spawn(directory, order.argv, boot_id, files, orders, listeners)

    def _let_go(self, launch: int) -> None:
        self._confinement.let_go(f"{self._vm_id}-{launch}")

    async def _reattach(self, order: fx.Reattach, report: Report) -> None:
        if (attended := self._sessions.get(order.launch)) is not None:
            attended.resume_contact(report)
            return
        found = await find_process(order, self._machine.boot_id)
        if not isinstance(found, Found):
            await report(found)
            return
        with self._session(
            Session(order, found.process, self._patience, self._interpose)
        ) as session:
            await session.attend(report, partial(session.contact.resume, evidence=found.evidence))

    @contextmanager
    def _session(self, session: Session) -> Iterator[Session]:
        """Let other effects of the launch find its live session meanwhile."""
        self._sessions[session.launch] = session
        try:
            yield session
        finally:
            del self._sessions[session.launch]
            session.process.close()

    async def _execute(self, order: fx.ExecuteQmp, report: Report) -> None:
        if (session := self._sessions.get(order.launch)) is not None:
            if order.command is fx.QmpCommand.CONT:  # its approval is in the log
                await trio.to_thread.run_sync(transport_keys.forget, session.directory)
            await session.contact.execute(order.command, report)
        else:
            await report(_unheard(order.launch, order.command.value))

    async def _query_run_state(self, order: fx.QueryRunState, report: Report) -> None:
        if (session := self._sessions.get(order.launch)) is not None:
            await session.contact.query_run_state(report)
        else:
            await report(_unheard(order.launch, "query-status"))

    async def _consult(
        self,
        launch: int,
        command: str,
        conversation: Callable[[Ask], Awaitable[Observation]],
        report: Report,
    ) -> None:
        if (session := self._sessions.get(launch)) is not None:
            await session.contact.consult(command, conversation, report)
        else:
            await report(_unheard(launch, command))

    async def _fetch_report(self, order: fx.RequestReport, report: Report) -> None:
        if (session := self._sessions.get(order.launch)) is None:
            await report(ob.ReportRefused(order.launch, order.nonce, NOT_CONNECTED))
        elif not isinstance(order.confidential, Snp):
            await session.contact.consult(REPORT, partial(fetch_report, order), report)
        elif session.agent is None:
            await report(ob.ReportRefused(order.launch, order.nonce, OWN_AGENT))
        else:
            await report(await session.agent.attest(order))

    async def _await_ready(self, order: fx.AwaitPort | fx.AwaitLine, report: Report) -> None:
        # Without a session nobody can become ready; who is found again is waited for again.
        if (session := self._sessions.get(order.launch)) is None:
            return
        if isinstance(order, fx.AwaitPort):
            ready, by = partial(port_answers, order, session.contact.ask), ob.ReadyBy.PORT
        else:
            ready, by = partial(console_says, order), ob.ReadyBy.CONSOLE
        await session.await_ready(ready, ob.GuestReady(order.launch, by), report)

    async def _tell_agent(self, launch: int, line: bytes) -> None:
        # Without a session the guest is gone; without an answer it repeats itself.
        session = self._sessions.get(launch)
        if session is not None and session.agent is not None:
            await session.agent.send(line)

    async def _time(self, order: fx.ArmTimer, report: Report) -> None:
        deadline_ms, patience_ms = order.deadline_ms, order.patience_ms
        if await self._timers.wait(order.launch, order.kind, deadline_ms, patience_ms):
            await report(ob.TimerFired(order.launch, order.kind, order.deadline_ms))

    def _signal(self, order: fx.SignalProcess) -> None:
        # Only a process that is proven to be the launch's has a session.
        if (session := self._sessions.get(order.launch)) is not None:
            session.process.send(order.signal)


def _unheard(launch: int, command: str) -> ob.QmpCommandFailed:
    return ob.QmpCommandFailed(launch, command, NOT_CONNECTED, ob.QmpFailure.UNANSWERED)
