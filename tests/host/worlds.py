"""The two worlds that the contract suite runs in: one in memory, one with a real QEMU."""

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import msgspec
from chronovisor_transcript.installing import install

from supervisor.actor import Host
from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.artifacts.store import ArtifactStore
from supervisor.host.contact import Patience
from supervisor.host.facts import read_facts
from supervisor.host.host import VmHost
from supervisor.host.locks import lock_is_held, pidfile_owner
from supervisor.vm.bounds import bounds
from supervisor.vm.effects import SpawnQemu
from supervisor.vm.observations import ExitEvidence, LaunchPrepared, ProcessIdentity
from supervisor.vm.qemu_argv import launch_uuid, qemu_argv
from supervisor.vm.spec import MIB, Algorithm, ByDigest, Manifest, VmShape
from tests.host.fake_host import QEMU, Attention, FakeHost, FakeMachine

VM_ID = "vm-1"
LOG_BYTES = 65536
PATIENT = Patience(greeting_s=60.0, command_s=60.0, exit_s=60.0, pulse_s=60.0)
"""No machine is so slow that a QEMU that lives is called silent."""
OLD_BZIMAGE = bytes(0x202) + b"HdrS" + bytes((2, 2)) + bytes(8192)
"""What QEMU loads as a kernel of boot protocol 2.02; it must never be run."""


class World(Protocol):
    """A place with one VM, in which a daemon may live several times."""

    async def manifest(self) -> Manifest:
        """Return a manifest whose artifacts are there."""

    def host(self, patience: Patience = PATIENT) -> Host:
        """Begin another life of the daemon."""

    def spawn_order(self, prepared: LaunchPrepared) -> SpawnQemu:
        """Return the order to start QEMU, as the core would give it."""

    def doomed_spawn_order(self, prepared: LaunchPrepared) -> SpawnQemu:
        """Return an order whose QEMU refuses its memory size."""

    def kill(self, process: ProcessIdentity) -> None:
        """SIGKILL from somebody else."""

    def freeze(self, process: ProcessIdentity) -> None:
        """SIGSTOP."""

    def thaw(self, process: ProcessIdentity) -> None:
        """SIGCONT."""

    def occupy(self) -> None:
        """Put something in the place of the VM's directory that cannot be removed."""

    def vacate(self) -> None:
        """Take it away again."""


def order_to_spawn(
    prepared: LaunchPrepared, argv: tuple[str, ...], manifest: Manifest
) -> SpawnQemu:
    """Return the order that the core gives for a launch of ``VM_ID``."""
    return SpawnQemu(
        launch=prepared.launch,
        directory=prepared.directory,
        argv=argv,
        uuid=launch_uuid(VM_ID, prepared.launch),
        log_bytes=LOG_BYTES,
        images=prepared.images,
        bounds=bounds(manifest, prepared.accel),
    )


class FakeWorld:
    def __init__(self) -> None:
        self.machine = FakeMachine()

    async def manifest(self) -> Manifest:
        self.machine.artifacts.add("a" * 64)
        return Manifest(name="contract", algorithm=Algorithm("a" * 64))

    def host(self, patience: Patience = PATIENT) -> Host:
        return FakeHost(self.machine, now_ms=lambda: time.time_ns() // 1_000_000)

    def spawn_order(self, prepared: LaunchPrepared) -> SpawnQemu:
        return order_to_spawn(prepared, (QEMU,), Manifest("contract", Algorithm("a" * 64)))

    def doomed_spawn_order(self, prepared: LaunchPrepared) -> SpawnQemu:
        stderr = "qemu-system-x86_64: cannot set up guest memory"
        self.machine.first_words = lambda qemu: ExitEvidence(exit_code=1, stderr=stderr)
        return self.spawn_order(prepared)

    def kill(self, process: ProcessIdentity) -> None:
        for qemu in self.machine.qemus.values():
            if qemu.identity == process:
                qemu.end(ExitEvidence(signal=9))

    def freeze(self, process: ProcessIdentity) -> None:
        self._pay_attention(process, Attention.FROZEN)

    def thaw(self, process: ProcessIdentity) -> None:
        self._pay_attention(process, Attention.AWAKE)

    def occupy(self) -> None:
        self.machine.unremovable = "vm-1: Not a directory"

    def vacate(self) -> None:
        self.machine.unremovable = ""

    def _pay_attention(self, process: ProcessIdentity, attention: Attention) -> None:
        for qemu in self.machine.qemus.values():
            if qemu.identity == process:
                qemu.attention = attention


class RealWorld:
    def __init__(self, root: Path) -> None:
        self.directory = root / "vms" / VM_ID
        self.artifacts = ArtifactStore(root / "artifacts")
        self._catalogue = Catalogue(root / "catalogue")
        self._digests = DigestCache()
        self._machine = read_facts()
        self._manifest: Manifest | None = None

    async def manifest(self) -> Manifest:
        kernel = await self.add(OLD_BZIMAGE)
        layer = await self.add(b"no archive, never unpacked")
        shape = VmShape(kernel=kernel, initrd=(layer,), memory_bytes=64 * MIB)
        algorithm = Algorithm((await self.add(b"#!/bin/sh\n")).sha256)
        self._manifest = Manifest(name="contract", algorithm=algorithm, vm=shape)
        return self._manifest

    async def add(self, content: bytes) -> ByDigest:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        stored = await self.artifacts.add(chunks(), limit_bytes=len(content))
        return ByDigest(stored.sha256)

    def host(self, patience: Patience = PATIENT) -> VmHost:
        return VmHost(
            VM_ID,
            self.directory,
            artifacts=self.artifacts,
            catalogue=self._catalogue,
            digests=self._digests,
            machine=self._machine,
            patience=patience,
        )

    def spawn_order(self, prepared: LaunchPrepared) -> SpawnQemu:
        assert self._manifest is not None
        return self.spawn_order_of(self._manifest, prepared)

    def spawn_order_of(self, manifest: Manifest, prepared: LaunchPrepared) -> SpawnQemu:
        argv = qemu_argv(
            manifest,
            vm_id=VM_ID,
            launch=prepared.launch,
            directory=prepared.directory,
            images=prepared.images,
            accel=prepared.accel,
            host_ports=prepared.host_ports,
        )
        return order_to_spawn(prepared, argv, manifest)

    def doomed_spawn_order(self, prepared: LaunchPrepared) -> SpawnQemu:
        order = self.spawn_order(prepared)
        argv = list(order.argv)
        argv[argv.index("-m") + 1] = f"{2**60}B"
        return msgspec.structs.replace(order, argv=tuple(argv))

    def kill(self, process: ProcessIdentity) -> None:
        os.kill(process.pid, signal.SIGKILL)

    def freeze(self, process: ProcessIdentity) -> None:
        os.kill(process.pid, signal.SIGSTOP)

    def thaw(self, process: ProcessIdentity) -> None:
        os.kill(process.pid, signal.SIGCONT)

    def occupy(self) -> None:
        self.directory.parent.mkdir(exist_ok=True)
        self.directory.touch()

    def vacate(self) -> None:
        self.directory.unlink()

    def clear(self) -> None:
        """End every QEMU that a test left running: its lock names the launches that live."""
        for launch in self.directory.glob("launch-*"):
            if lock_is_held(launch) and (pid := pidfile_owner(launch)) is not None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


class SimulatedWorld(RealWorld):
    """The real host on a QEMU without a machine (tools/transcript)."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._machine = msgspec.structs.replace(self._machine, qemu=str(install(root)))
