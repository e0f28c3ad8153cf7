"""The composition root: the only module that knows every other.

One life of the daemon: open the log, fold it, start one actor per VM (each picks up what its log
left unfinished), serve, and on SIGTERM or SIGINT stop taking work and leave. QEMU lives on unless
``stop_vms`` was asked for.
"""

import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version

import msgspec
import trio

from eventlog import EventLog, LogOptions, Record, open_log
from eventlog.notary import Notary
from supervisor.actor import VmActor, VmRef
from supervisor.admission.events import DaemonStarted, DaemonStopped, Event, StopReason
from supervisor.admission.inputs import check_inputs
from supervisor.admission.intake import Admission, Intake
from supervisor.admission.state import AdmissionState
from supervisor.api.asyncio_bridge import serve_grpc
from supervisor.api.auth import load_token
from supervisor.api.listeners import address_of, bind_tcp, listening_unix
from supervisor.api.websocket import serve_websocket
from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.artifacts.store import ArtifactStore
from supervisor.caller import Caller
from supervisor.cause import Cause
from supervisor.checkpoints import Checkpoints
from supervisor.config import Address, Config
from supervisor.host.facts import read_facts
from supervisor.host.host import VmHost
from supervisor.host.timers import wall_clock_ms
from supervisor.journal import HOST_STREAM, LogJournal, decode, encode
from supervisor.log_key import load_signer
from supervisor.registry import Registry
from supervisor.replay import World, define_from, load_vm
from supervisor.service import Service
from supervisor.snapshots import Snapshots
from supervisor.state_directory import StateDirectory, node_id, prepare_state_directory
from supervisor.supervision import supervise
from supervisor.vm.commands import CommandDenied, Stop
from supervisor.vm.events import ComputationSubmitted
from supervisor.vm.state import ENDED

logger = logging.getLogger(__name__)

HOST_TENANT = "host"
STOP_ALL_S = 60
"""With ``stop_vms``: what the VMs get to end before the daemon leaves all the same."""


class Ready(msgspec.Struct, frozen=True):
    """Where the daemon listens, once it does."""

    version: str
    state_dir: str
    log_id: str
    unix: str
    grpc: Address
    websocket: Address
    vms: int


def main(config: Config, announce: Callable[[Ready], None]) -> None:
    """Run one life of the daemon; ``announce`` is called when it serves.

    Raises CannotServe, or EventLogError when the log cannot be opened or written.
    """
    trio.run(run, config, announce)


async def run(config: Config, announce: Callable[[Ready], None]) -> None:
    """The same as :func:`main`, inside Trio."""
    with ExitStack() as owned:
        # From the first moment on: a signal before we serve must still end us in good order.
        signals = owned.enter_context(trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT))
        # Bound before anything is written or any VM is touched: a daemon that cannot serve must
        # leave no trace.
        grpc = owned.enter_context(bind_tcp(config.grpc))
        websocket = owned.enter_context(bind_tcp(config.websocket))
        directory = prepare_state_directory(config.state_dir)
        unix = owned.enter_context(listening_unix(directory.grpc_socket))
        listeners = Listeners(unix, grpc, websocket)
        snapshots = await trio.to_thread.run_sync(Snapshots, directory.log, directory.snapshot)
        options = LogOptions(node_id=node_id(directory))
        async with open_log(directory.log, options, start=snapshots.bookmark) as log:
            await trio.to_thread.run_sync(snapshots.fold)
            notary = Notary(directory.log, load_signer(directory.log_key, log.log_id))
            checkpoints = Checkpoints(notary)
            async with trio.open_nursery() as nursery:
                daemon = Daemon(config, directory, log, snapshots, checkpoints, nursery)
                await daemon.recover()
                announce(await daemon.serve(listeners))
                nursery.start_soon(snapshots.keep, lambda: log.head)
                nursery.start_soon(checkpoints.keep, lambda: log.head)
                number = await anext(signals)
                logger.info("%s: leaving", signal.Signals(number).name)
                await daemon.leave()
            await snapshots.conclude()
            await checkpoints.conclude()


class Listeners(msgspec.Struct, frozen=True):
    """The sockets that clients come to."""

    unix: socket.socket
    grpc: socket.socket
    websocket: socket.socket


class Daemon:
    """The parts of one life, and how they are joined."""

    def __init__(
        self,
        config: Config,
        directory: StateDirectory,
        log: EventLog,
        snapshots: Snapshots,
        checkpoints: Checkpoints,
        nursery: trio.Nursery,
    ) -> None:
        self._config = config
        self._directory = directory
        self._facts = read_facts()
        self._log = log
        self._snapshots = snapshots
        self._checkpoints = checkpoints
        self._nursery = nursery
        self._registry = Registry()
        self._store = ArtifactStore(directory.artifacts)
        self._catalogue = Catalogue(config.catalogue)
        self._digests = DigestCache()
        self._admission = self._admit(snapshots.world)
        self._life = Cause("", "")

    def _admit(self, world: World) -> Admission:
        # The fold goes on with its own, so that each snapshot is of one moment.
        state = AdmissionState(world.admission.packed())
        check = partial(check_inputs, store=self._store, catalogue=self._catalogue)
        admission = Admission(state, self._log, check, self._start_submitted, self._registry.count)
        if world.host is not None:
            admission.intake = Intake.UNREADABLE
            logger.error("no computations are taken: %s", world.host.why)
        return admission

    async def recover(self) -> None:
        """Record that this life began, then give every VM of the log its actor."""
        started = DaemonStarted(
            version("chronovisor"), os.getpid(), self._facts.boot_id, self._facts.qemu
        )
        record = await self._record(started)
        self._life = Cause(record.event_id, record.event_id)
        world = self._snapshots.world
        for state in world.vms.values():
            self._start_actor(self._registry.add(state), self._life)
        for vm_id, unreadable in world.unavailable.items():
            logger.error("VM %s is not attended to: %s", vm_id, unreadable.why)
            self._registry.set_aside(vm_id, unreadable.why)

    async def serve(self, listeners: Listeners) -> Ready:
        """Open the APIs; return where they listen."""
        service = Service(
            self._log,
            self._checkpoints,
            self._registry,
            self._admission,
            self._store,
            self._directory.vms,
        )
        token = load_token(self._directory.token)
        grpc = partial(serve_grpc, unix=listeners.unix, tcp=listeners.grpc, token=token)
        await self._nursery.start(grpc, service)
        websocket = partial(serve_websocket, tcp=listeners.websocket, token=token)
        await self._nursery.start(websocket, self._log)
        return Ready(
            version=version("chronovisor"),
            state_dir=str(self._directory.root),
            log_id=self._log.log_id,
            unix=str(self._directory.grpc_socket),
            grpc=address_of(listeners.grpc),
            websocket=address_of(listeners.websocket),
            vms=self._registry.count(),
        )

    async def leave(self) -> None:
        """Take no more work, stop the VMs if that was asked for, and record the end."""
        self._admission.intake = Intake.CLOSED
        if self._config.stop_vms:
            await self._stop_vms()
        left = sum(1 for state in self._registry.states() if state.phase not in ENDED)
        await self._record(DaemonStopped(StopReason.SIGNAL, left))
        self._nursery.cancel_scope.cancel()

    async def _stop_vms(self) -> None:
        caller = Caller("daemon", HOST_TENANT, command_id=self._life.correlation_id)
        async with trio.open_nursery() as nursery:
            for state in list(self._registry.states()):
                if state.phase not in ENDED:
                    nursery.start_soon(self._stop_vm, state.vm_id, caller)

    async def _stop_vm(self, vm_id: str, caller: Caller) -> None:
        with trio.move_on_after(STOP_ALL_S) as patience:
            try:
                state = await self._registry.ask(vm_id, Stop(), caller)
            except CommandDenied as denied:
                logger.warning("VM %s was not stopped: %s", vm_id, denied)
                return
            if state.phase in ENDED:
                return
            async for _ in self._log.subscribe(self._log.head):
                if self._registry.get(vm_id).phase in ENDED:
                    return
        if patience.cancelled_caught:
            logger.warning("VM %s did not end within %d s and lives on", vm_id, STOP_ALL_S)

    def _start_submitted(self, record: Record) -> None:
        event = decode(record)
        assert isinstance(event, ComputationSubmitted)
        cause = Cause(record.causation_id, record.correlation_id, traceparent=record.traceparent)
        ref = self._registry.add(define_from(record, event))
        self._start_actor(ref, cause.followed_by(record.event_id))

    def _start_actor(self, ref: VmRef, cause: Cause) -> None:
        self._nursery.start_soon(self._run_actor, ref, cause, name=f"vm/{ref.state.vm_id}")

    async def _run_actor(self, ref: VmRef, cause: Cause) -> None:
        vm_id = ref.state.vm_id

        async def run_once() -> None:
            host = VmHost(
                vm_id,
                self._directory.vms / vm_id,
                artifacts=self._store,
                catalogue=self._catalogue,
                digests=self._digests,
                machine=self._facts,
            )
            await VmActor(ref, LogJournal(self._log), host, wall_clock_ms).run(cause)

        async def reload() -> None:
            latest = self._snapshots.latest
            state = await load_vm(self._log, vm_id, latest.vms.get(vm_id), latest.position)
            assert state is not None
            ref.state = state

        await supervise(f"VM {vm_id}", run_once, reload, wall_clock_ms)
        self._registry.forget(vm_id)

    async def _record(self, event: Event) -> Record:
        new = encode(event, HOST_STREAM, HOST_TENANT, self._life)
        (record,) = await self._log.append([new])
        return record
