"""The composition root: the only module that knows every other.

One life of the daemon: open the log, fold it, start one actor per VM (each picks up what its log
left unfinished), serve, and on SIGTERM or SIGINT stop taking work and leave. QEMU lives on unless
``stop_vms`` was asked for.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version

import msgspec
import trio

from eventlog import EventLog, LogOptions, open_log
from eventlog.notary import Notary
from supervisor.access.tls import server_contexts
from supervisor.access.token_file import read_grants
from supervisor.actor import Host
from supervisor.admission.events import DaemonStarted
from supervisor.admission.firmware import check_firmware
from supervisor.admission.inputs import check_inputs
from supervisor.admission.network import check_network
from supervisor.admission.uploads import Uploads
from supervisor.api.asyncio_bridge import serve_grpc
from supervisor.api.doors import Doors, open_doors
from supervisor.api.listeners import address_of, bind_tcp, listening_unix
from supervisor.api.readiness import Readiness
from supervisor.api.websocket import serve_websocket
from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.artifacts.store import ArtifactStore
from supervisor.caller import Caller
from supervisor.checkpoints import Checkpoints
from supervisor.clock import Clock
from supervisor.config import Address, Config
from supervisor.consoles import Consoles
from supervisor.faults.seams import Seams, open_seams
from supervisor.fleet import Fleet, Surroundings
from supervisor.host.confinement import Confinement, confine
from supervisor.host.facts import MACHINE_ID, machine_name, read_facts
from supervisor.host.host import VmHost
from supervisor.host.platform import read_platform
from supervisor.http_api.server import serve_http
from supervisor.log_key import load_signer
from supervisor.replay import go_on_from, load_vm
from supervisor.sd_notify import STOPPING, Notifier, notifier_of
from supervisor.service import Service
from supervisor.snapshots import Snapshots
from supervisor.state_directory import Node, StateDirectory, prepare_state_directory, settle
from supervisor.sweep import Sweep
from supervisor.telemetry.metrics import Metrics
from supervisor.telemetry.tracing import open_tracing
from supervisor.vm.spec import Manifest
from supervisor.vm.state import VmState

logger = logging.getLogger(__name__)


class Ready(msgspec.Struct, frozen=True):
    """Where the daemon listens, once it does; ``fault_plan`` is the digest of one in force.

    ``unix`` is the socket in the state directory, ``listen`` the one that was asked for besides.
    ``sought`` of the VMs are still looked for; the event host.vms-recovered.v1 tells of the end.
    """

    version: str
    state_dir: str
    log_id: str
    unix: str
    grpc: Address
    http: Address
    websocket: Address
    vms: int
    sought: int = 0
    fault_plan: str = ""
    listen: str = ""


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
        manager = notifier_of(os.environ, os.getpid())
        manager.status("reading the log")
        seams = open_seams(config.fault_plan)
        contexts = server_contexts(config.tls, time.time())
        # Bound before anything is written or any VM is touched: a daemon that cannot serve must
        # leave no trace.
        grpc = owned.enter_context(bind_tcp(config.listen.grpc))
        http = owned.enter_context(bind_tcp(config.listen.http))
        websocket = owned.enter_context(bind_tcp(config.listen.websocket))
        chosen = [config.listen.unix.path] if config.listen.unix else []
        unix = [owned.enter_context(listening_unix(path)) for path in chosen]
        if config.tokens is not None:
            read_grants(config.tokens)
        confinement = confine(config.qemu_user)
        directory = prepare_state_directory(config.state_dir)
        doors = open_doors(config, contexts, directory)
        unix.append(owned.enter_context(listening_unix(directory.grpc_socket)))
        listeners = Listeners(tuple(unix), grpc, http, websocket)
        snapshots = await trio.to_thread.run_sync(Snapshots, directory.log, directory.snapshot)
        node, clock = settle(directory, machine_name(MACHINE_ID)), Clock()
        metrics = Metrics()
        storage = metrics.timed(seams.storage)
        options = LogOptions(node_id=node.node_id, clock=clock.ns, storage=storage)
        async with open_log(directory.log, options, start=snapshots.bookmark) as log:
            await trio.to_thread.run_sync(snapshots.fold)
            await go_on_from(log, clock)
            notary = Notary(directory.log, load_signer(directory.log_key, log.log_id))
            checkpoints = Checkpoints(notary)
            tracing = open_tracing(config.telemetry, log, node.node_id, metrics.lost_spans.inc)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tracing.follow)
                place = Place(
                    config, directory, node, clock, seams, confinement, metrics, manager, doors
                )
                daemon = Daemon(place, log, snapshots, checkpoints, nursery)
                await daemon.recover()
                announce(await daemon.serve(listeners))
                nursery.start_soon(manager.keep_alive)
                nursery.start_soon(snapshots.keep, lambda: log.head)
                nursery.start_soon(checkpoints.keep, lambda: log.head)
                number = await anext(signals)
                logger.info("%s: leaving", signal.Signals(number).name)
                await daemon.leave()
            await tracing.conclude()
            await snapshots.conclude()
            await checkpoints.conclude()


class Place(msgspec.Struct, frozen=True):
    """Where a life of the daemon takes place."""

    config: Config
    directory: StateDirectory
    node: Node
    clock: Clock
    seams: Seams
    confinement: Confinement
    metrics: Metrics
    manager: Notifier
    doors: Doors


class Listeners(msgspec.Struct, frozen=True):
    """The sockets that clients come to."""

    unix: tuple[socket.socket, ...]
    grpc: socket.socket
    http: socket.socket
    websocket: socket.socket


class Daemon:
    """The parts of one life, and how they are joined."""

    def __init__(
        self,
        place: Place,
        log: EventLog,
        snapshots: Snapshots,
        checkpoints: Checkpoints,
        nursery: trio.Nursery,
    ) -> None:
        self._config = place.config
        self._seams = place.seams
        self._directory = place.directory
        self._node = place.node
        self._clock = place.clock
        self._confinement = place.confinement
        self._metrics = place.metrics
        self._manager = place.manager
        self._doors = place.doors
        self._facts = read_facts(place.confinement.user)
        self._log = log
        self._snapshots = snapshots
        self._checkpoints = checkpoints
        self._nursery = nursery
        self._store = ArtifactStore(place.directory.artifacts)
        self._catalogue = Catalogue(place.config.catalogue)
        self._digests = DigestCache()
        self._readiness = Readiness()
        self._fleet = Fleet(log, snapshots.world, self._surroundings(), nursery)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            self._host, self._check, self._load, self._clock.ms, capacity=self._config.capacity
        )

    def _check(self, manifest: Manifest, caller: Caller) -> None:
        check_network(manifest, self._config.capacity)
        check_inputs(manifest, caller, Uploads(self._store, self._log), self._catalogue)
        check_firmware(manifest, self._store, self._catalogue)

    def _host(self, vm_id: str) -> Host:
        host = VmHost(
            vm_id,
            self._directory.vms / vm_id,
            artifacts=self._store,
            catalogue=self._catalogue,
            digests=self._digests,
            machine=self._facts,
            now_ms=self._clock.ms,
            interpose=self._seams.interpose,
            confinement=self._confinement,
        )
        return self._seams.host(vm_id, host)

    async def _load(self, vm_id: str) -> VmState:
        latest = self._snapshots.latest
        state = await load_vm(self._log, vm_id, latest.vms.get(vm_id), latest.position)
        assert state is not None
        return state

    async def recover(self) -> None:
        """Record that this life began, then give every VM of the log its actor."""
        boot_id, qemu, moved_from = self._facts.boot_id, self._facts.qemu, self._node.moved_from
        started = DaemonStarted(version("chronovisor"), os.getpid(), boot_id, qemu, moved_from)
        if moved_from:
            logger.warning(
                "this state directory was brought here from another host: node %s is now %s. Its "
                "VMs are not on this host and are recorded as lost; never serve both copies",
                moved_from,
                self._node.node_id,
            )
        notes = self._seams.loaded
        set_aside = frozenset(self._config.set_aside)
        world = self._snapshots.world
        await self._fleet.recover(started, world, notes=notes, set_aside=set_aside)

        self._nursery.start_soon(self._conclude_recovery)

    async def _conclude_recovery(self) -> None:
        await self._manager.recovering(self._fleet.recovered, lambda: self._fleet.sought)
        self._readiness.recovered()
        registry, was_taken = self._fleet.registry, self._fleet.admission.has_taken
        vms, boot_id, record = self._directory.vms, self._facts.boot_id, self._fleet.record
        await Sweep(vms, boot_id, registry, was_taken, record).run()

    async def serve(self, listeners: Listeners) -> Ready:
        """Open the APIs; return where they listen."""
        registry = self._fleet.registry
        service = Service(
            self._log,
            self._checkpoints,
            registry,
            self._fleet.admission,
            self._store,
            self._directory.vms,
            self._fleet.reservations.queue_position,
            partial(read_platform, self._facts.qemu, self._confinement.user),
        )
        consoles = Consoles(registry, self._directory.vms, self._nursery)
        doors, readiness, metrics = self._doors, self._readiness, self._metrics
        grpc = partial(serve_grpc, unix=listeners.unix, tcp=listeners.grpc, door=doors.grpc)
        http = partial(serve_http, tcp=listeners.http, door=doors.http)
        websocket = partial(serve_websocket, tcp=listeners.websocket, door=doors.websocket)
        start = self._nursery.start
        await start(partial(grpc, readiness=readiness, metrics=metrics), service)
        await start(partial(http, readiness=readiness, metrics=metrics), service)
        await start(partial(websocket, metrics=metrics), self._log, consoles)
        return Ready(
            version=version("chronovisor"),
            state_dir=str(self._directory.root),
            log_id=self._log.log_id,
            unix=str(self._directory.grpc_socket),
            grpc=address_of(listeners.grpc),
            http=address_of(listeners.http),
            websocket=address_of(listeners.websocket),
            vms=registry.count(),
            sought=self._fleet.sought,
            fault_plan="".join(plan.digest for plan in self._seams.loaded),
            listen=str(self._config.listen.unix or ""),
        )

    async def leave(self) -> None:
        """Take no more work, stop the VMs if that was asked for, and record the end."""
        self._readiness.leave()
        self._manager.tell(STOPPING)
        if self._config.stop_vms:
            await self._fleet.stop_vms()
        await self._fleet.leave()
        self._seams.conclude()
        self._nursery.cancel_scope.cancel()
