"""The files of a launch, made before there is an intent to launch."""

import errno
import shutil
from pathlib import Path

import msgspec

from supervisor.artifacts.errors import ArtifactError
from supervisor.artifacts.store import ArtifactStore
from supervisor.host.claims import NotMeasurable, claim
from supervisor.host.cleanup import prune
from supervisor.host.facts import HostFacts
from supervisor.host.images import Images, NotBootable
from supervisor.host.inputs_disk import write_inputs
from supervisor.host.locks import lock_is_held
from supervisor.host.platform import Platform, Unavailable
from supervisor.host.results_disk import make_results_disk
from supervisor.host.transport_keys import make_session
from supervisor.sev.errors import SevRefused
from supervisor.vm import layout
from supervisor.vm.confidential import Sev, Verification
from supervisor.vm.effects import PrepareLaunch
from supervisor.vm.observations import LaunchImpossible, LaunchPrepared
from supervisor.vm.spec import Accelerator, Manifest

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Impossible(Exception):
    """A launch cannot be prepared; the message says what to do."""


class LaunchPreparation:
    """Makes the launch directories of one VM."""

    def __init__(
        self,
        vm_id: str,
        directory: Path,
        *,
        artifacts: ArtifactStore,
        images: Images,
        machine: HostFacts,
    ) -> None:
        self._vm_id = vm_id
        self._directory = directory
        self._artifacts = artifacts
        self._images = images
        self._machine = machine

    def prepare(
        self, order: PrepareLaunch, platform: Platform | Unavailable | None = None
    ) -> LaunchPrepared | LaunchImpossible:
        """Make everything that a launch needs, from nothing. Blocks.

        ``platform`` is what a confidential launch runs on.
        """
        try:
            return self._prepare(order, platform)
        except (Impossible, ArtifactError, NotBootable, NotMeasurable, SevRefused) as error:
            return LaunchImpossible(order.launch, str(error))
        except OSError as error:
            return LaunchImpossible(order.launch, _explain(error, self._directory))

    def _prepare(
        self, order: PrepareLaunch, platform: Platform | Unavailable | None
    ) -> LaunchPrepared:
        accel = choose_accelerator(order.manifest.vm.accel, self._machine)
        if not self._machine.qemu:
            raise Impossible("QEMU is not installed; run: apt-get install qemu-system-x86")
        if order.manifest.confidential and not isinstance(platform, Platform):
            why = platform.why if platform else "its secure processor was not asked"
            raise Impossible(f"this host cannot run SEV guests: {why}")
        directory = self._fresh_directory(order.launch)
        try:
            prepared = self._fill(directory, order, accel)
            if isinstance(platform, Platform):
                return _confidential(prepared, order.manifest, platform)
            return prepared
        except Exception:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    def _fill(self, directory: Path, order: PrepareLaunch, accel: str) -> LaunchPrepared:
        manifest = order.manifest
        inputs = write_inputs(
            directory / layout.INPUTS_DISK,
            manifest,
            vm_id=self._vm_id,
            launch=order.launch,
            artifacts=self._artifacts,
        )
        make_results_disk(directory / layout.RESULTS_DISK, manifest.limits.result_bytes)
        own_vars = self._directory / layout.FIRMWARE_VARS
        images = self._images.resolve(manifest.vm, self._machine.qemu, inputs, own_vars)
        return LaunchPrepared(order.launch, str(directory), images, accel, order.host_ports)

    def _fresh_directory(self, launch: int) -> Path:
        directory = self._directory / layout.launch_directory(launch)
        if lock_is_held(directory):
            raise Impossible(f"a QEMU of launch {launch} is still running in {directory}")
        if directory.exists():
            shutil.rmtree(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700)
        prune(self._directory, launch)
        return directory


def _confidential(
    prepared: LaunchPrepared, manifest: Manifest, platform: Platform
) -> LaunchPrepared:
    """Add what a launch that is measured needs, and what it should measure."""
    wanted = manifest.confidential
    if wanted is None:
        return prepared
    session = None
    if isinstance(wanted, Sev) and wanted.verification is Verification.TRUSTED_HOST:
        session = make_session(platform, wanted.policy, Path(prepared.directory))
    claims = claim(wanted, manifest.vm, prepared.images)
    return msgspec.structs.replace(
        prepared, platform=platform.for_qemu, claims=claims, session=session
    )


def choose_accelerator(wanted: Accelerator, machine: HostFacts) -> str:
    """Return QEMU's name of the accelerator. Raises Impossible when it cannot work here."""
    if wanted is Accelerator.KVM and machine.kvm_obstacle:
        raise Impossible(f"KVM cannot be used: {machine.kvm_obstacle}; accel auto or tcg would do")
    if wanted is Accelerator.TCG or machine.kvm_obstacle:
        return Accelerator.TCG.value
    return Accelerator.KVM.value


def _explain(error: OSError, directory: Path) -> str:
    if error.errno in FULL:
        return f"the disk that holds {directory} is full: make room and submit again"
    return f"the files of the launch cannot be made: {error}"
