"""Confidential launches on the host, before QEMU: claims, sessions of its own, and refusals."""

import base64
from pathlib import Path

import msgspec
import pytest
from chronovisor_sev.chip import Chip, load_chip, save_new_chip
from chronovisor_sev.processor import Launch
from sevsnpmeasure.vcpu_types import CPU_SIGS

from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.host import cleanup
from supervisor.host.claims import NotMeasurable, host_cpus
from supervisor.host.facts import HostFacts
from supervisor.host.images import Images
from supervisor.host.platform import Platform, Unavailable
from supervisor.host.prepare import LaunchPreparation
from supervisor.host.transport_keys import KEYS_FILE, forget, verify
from supervisor.sev.digest import sev_digest
from supervisor.sev.hash_table import direct_boot
from supervisor.vm.confidential import Confidential, Sev, SevEs, SevEvidence, Snp, Verification
from supervisor.vm.effects import ExecuteQmp, PrepareLaunch, QmpCommand
from supervisor.vm.observations import (
    GuestResumed,
    HostCheck,
    LaunchImpossible,
    LaunchPrepared,
    QmpReady,
)
from supervisor.vm.spec import Manifest
from tests.host.story import life_of
from tests.host.worlds import OLD_BZIMAGE, VM_ID, RealWorld, SimulatedWorld
from tests.sev.images import firmware, snp_firmware

POLICY = 0x3
INITRD = b"no archive, never unpacked"
MACHINE = HostFacts(boot_id="boot", qemu="/bin/true", kvm_obstacle="there is no /dev/kvm")
SNP_SECTIONS = ((0x800000, 0x9000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3))
SNP_HASHES = (0x810000, 0x1000, 0x10)


class Bench:
    """A VM's directory, and a processor."""

    def __init__(self, root: Path) -> None:
        self.world = RealWorld(root)
        (root / "platform").mkdir()
        save_new_chip(root / "platform")
        self.chip: Chip = load_chip(root / "platform")
        self.platform = msgspec.convert(self.chip.facts(), Platform)
        self.launch = self.world.directory / "launch-1"

    async def manifest(
        self, wanted: Confidential, code: bytes = firmware(), kernel: bytes = OLD_BZIMAGE
    ) -> Manifest:
        plain = await self.world.manifest()
        images = {"firmware": await self.world.add(code), "kernel": await self.world.add(kernel)}
        shape = msgspec.structs.replace(plain.vm, **images)
        return msgspec.structs.replace(plain, vm=shape, confidential=wanted)

    def prepare(
        self, manifest: Manifest, platform: Platform | Unavailable | None = None
    ) -> LaunchPrepared | LaunchImpossible:
        preparation = LaunchPreparation(
            VM_ID,
            self.world.directory,
            artifacts=self.world.artifacts,
            images=Images(self.world.artifacts, Catalogue(self.launch), DigestCache()),
            machine=MACHINE,
        )
        return preparation.prepare(PrepareLaunch(1, manifest), platform or self.platform)

    def prepared(self, manifest: Manifest) -> LaunchPrepared:
        seen = self.prepare(manifest)
        assert isinstance(seen, LaunchPrepared), seen
        return seen

    def impossible(self, manifest: Manifest, platform: Unavailable | None = None) -> str:
        seen = self.prepare(manifest, platform)
        assert isinstance(seen, LaunchImpossible)
        assert not self.launch.exists()
        return seen.detail


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def expected(code: bytes = firmware()) -> str:
    return sev_digest(code, direct_boot(OLD_BZIMAGE, INITRD, "console=ttyS0 quiet")).hex()


async def test_the_claims_are_of_what_is_booted(bench: Bench) -> None:
    seen = bench.prepared(await bench.manifest(Sev(POLICY)))
    assert seen.claims is not None
    assert seen.images.firmware is not None
    assert seen.claims.firmware == seen.images.firmware.sha256
    assert seen.claims.kernel == seen.images.kernel.sha256
    assert seen.claims.initrd == seen.images.initrd.sha256
    assert seen.claims.digest == expected()
    assert seen.claims.secret_room == 0xC00
    assert seen.platform == bench.platform.for_qemu
    assert seen.session is None
    assert not (bench.launch / KEYS_FILE).exists()


@pytest.mark.parametrize(("wanted", "digits"), [(SevEs(POLICY | 4), 64), (Snp(), 96)])
async def test_other_kinds_have_digests_of_their_own(
    bench: Bench, wanted: Confidential, digits: int
) -> None:
    code = snp_firmware(*SNP_SECTIONS, SNP_HASHES)
    claims = bench.prepared(await bench.manifest(wanted, code)).claims
    assert claims is not None
    assert len(claims.digest) == digits
    assert claims.digest != expected(code)
    assert claims.vmsa_variant == ("legacy" if isinstance(wanted, SevEs) else "")


async def test_another_digest_than_expected_is_refused_with_both(bench: Bench) -> None:
    detail = bench.impossible(await bench.manifest(Sev(POLICY, expected_digest="ab" * 32)))
    assert expected() in detail
    assert "ab" * 32 in detail


async def test_a_host_without_sev_says_why(bench: Bench) -> None:
    detail = bench.impossible(await bench.manifest(Sev(POLICY)), Unavailable("KVM has no SEV"))
    assert detail == "this host cannot run SEV guests: KVM has no SEV"


async def test_a_firmware_that_measures_no_kernel_is_refused(bench: Bench) -> None:
    detail = bench.impossible(await bench.manifest(Sev(POLICY), firmware({})))
    assert "no area for hashes" in detail


async def test_a_kernel_that_qemu_would_not_measure_is_refused(bench: Bench) -> None:
    manifest = await bench.manifest(Sev(POLICY), kernel=b"\x7fELF" + bytes(4096))
    assert "would not measure" in bench.impossible(manifest)


async def test_a_trusted_host_makes_the_session_and_verifies_with_its_keys(bench: Bench) -> None:
    wanted = Sev(POLICY, verification=Verification.TRUSTED_HOST, expected_digest=expected())
    seen = bench.prepared(await bench.manifest(wanted))
    assert seen.session is not None
    assert (bench.launch / KEYS_FILE).stat().st_mode & 0o777 == 0o600
    honest = measured(bench.chip, seen, firmware())
    assert verify(honest, wanted, bench.launch) == (HostCheck.VERIFIED, "")
    other = measured(bench.chip, seen, firmware(filling=b"evil"))
    check, why = verify(other, wanted, bench.launch)
    assert check is HostCheck.REFUSED
    assert "another launch" in why
    cleanup.release(bench.launch)
    assert not (bench.launch / KEYS_FILE).exists()
    assert verify(honest, wanted, bench.launch)[0] is HostCheck.REFUSED


def measured(chip: Chip, prepared: LaunchPrepared, code: bytes) -> SevEvidence:
    assert prepared.session is not None
    launch = Launch(chip)
    blob = base64.b64decode(prepared.session.session_blob)
    launch.start(blob, base64.b64decode(prepared.session.godh_cert), POLICY)
    launch.update(code)
    launch.update(direct_boot(OLD_BZIMAGE, INITRD, "console=ttyS0 quiet").hash_table())
    return SevEvidence(base64.b64encode(launch.measure()).decode(), *launch.version, POLICY)


def test_the_hosts_cpus_are_measured_as_cpuid_tells_them() -> None:
    text = (
        "cpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\nstepping\t: 1\n\ncpu family: 1\n"
    )
    cpus = host_cpus(2, text)
    assert (cpus.count, cpus.signature) == (2, CPU_SIGS["EPYC-Milan"])
    with pytest.raises(NotMeasurable):
        host_cpus(2, "processor: 0\n")


async def test_the_keys_of_an_approved_launch_are_forgotten(bench: Bench) -> None:
    wanted = Sev(POLICY, verification=Verification.TRUSTED_HOST, expected_digest=expected())
    bench.prepared(await bench.manifest(wanted))
    forget(bench.launch)
    assert not (bench.launch / KEYS_FILE).exists()
    forget(bench.launch)  # a guest is paused and told to run again


async def test_the_keys_are_gone_once_the_guest_is_told_to_run(tmp_path: Path) -> None:
    world = SimulatedWorld(tmp_path)
    async with life_of(world.host()) as story:
        story.do(PrepareLaunch(1, await world.manifest()))
        story.do(world.spawn_order(await story.until(LaunchPrepared)))
        await story.until(QmpReady)
        keys = world.directory / "launch-1" / KEYS_FILE
        keys.write_bytes(bytes(32))
        story.do(ExecuteQmp(1, QmpCommand.CONT))
        await story.until(GuestResumed)
        assert not keys.exists()
    world.clear()
