"""What the host claims that a confidential launch will measure, computed before it is intended.

The claims prove nothing: this host made them. They tell an owner what to compare with, and let the
host refuse at once what cannot be verified later: an image that would not be measured, or another
digest than the manifest expects.
"""

import hashlib
from pathlib import Path

import msgspec
from sevsnpmeasure.vcpu_types import cpu_sig

from supervisor.host.facts import CPUINFO
from supervisor.host.images import BOOT_HEADER
from supervisor.sev import vmsa
from supervisor.sev.digest import SnpImages, sev_digest, sev_es_digest, snp_digest
from supervisor.sev.errors import SevRefused
from supervisor.sev.firmware import Firmware, parse_firmware
from supervisor.sev.hash_table import DirectBoot
from supervisor.vm.confidential import Confidential, SevClaims, SevEs, Snp
from supervisor.vm.observations import Image, LaunchImages
from supervisor.vm.qemu_argv import kernel_command_line
from supervisor.vm.spec import VmShape

FIRMWARE_BYTES = 16 << 20
"""All flash that QEMU maps below 4 GiB is 8 MiB; a file that is larger is no firmware."""
SNP_ACTIVE = 1
"""SEV_FEATURES of a guest's CPUs as QEMU and KVM set them (APM volume 2, VMSA)."""


class NotMeasurable(Exception):
    """A launch would not measure what was ordered; the message says what, and what to do."""


class HostCpus(msgspec.Struct, frozen=True):
    """CPUs of QEMU's ``-cpu host``: what CPUID tells of them is what it tells of the host's."""

    count: int
    signature: int


def claim(confidential: Confidential, shape: VmShape, images: LaunchImages) -> SevClaims:
    """Return what a launch of these images will measure. Blocks; raises NotMeasurable, OSError."""
    if images.firmware is None:
        raise NotMeasurable("a confidential guest needs a firmware, such as OVMF's AmdSev build")
    _demand_bzimage(images.kernel)
    content = _content(images.firmware)
    try:
        firmware = parse_firmware(content)
        firmware.demand_hashes()
        digest = _digest(confidential, shape, images, content)
    except SevRefused as error:
        raise NotMeasurable(str(error)) from None
    _demand_expected(confidential.expected_digest, digest.hex())
    return _claims(confidential, shape, images, firmware, digest)


def host_cpus(count: int, cpuinfo: str) -> HostCpus:
    """Return CPUs such as those of a ``/proc/cpuinfo``. Raises NotMeasurable."""
    lines = cpuinfo.partition("\n\n")[0].splitlines()
    told = {
        name.strip(): value.strip() for name, _, value in (each.partition(":") for each in lines)
    }
    try:
        family, model, stepping = (int(told[n]) for n in ("cpu family", "model", "stepping"))
    except (KeyError, ValueError):
        raise NotMeasurable("/proc/cpuinfo does not tell family, model and stepping") from None
    return HostCpus(count, cpu_sig(family, model, stepping))


def _claims(
    confidential: Confidential,
    shape: VmShape,
    images: LaunchImages,
    firmware: Firmware,
    digest: bytes,
) -> SevClaims:
    assert images.firmware is not None
    variant = confidential.vmsa_variant.value if isinstance(confidential, SevEs) else ""
    return SevClaims(
        firmware=images.firmware.sha256,
        kernel=images.kernel.sha256,
        initrd=images.initrd.sha256,
        command_line=_command_line_digest(shape).hex(),
        vcpus=shape.cpus,
        vmsa_variant=variant,
        digest=digest.hex(),
        secret_room=firmware.secret.size if firmware.secret else 0,
    )


def _digest(
    confidential: Confidential, shape: VmShape, images: LaunchImages, firmware: bytes
) -> bytes:
    boot = DirectBoot(
        bytes.fromhex(images.kernel.sha256),
        bytes.fromhex(images.initrd.sha256),
        _command_line_digest(shape),
    )
    match confidential:
        case SevEs(vmsa_variant=variant):
            known = vmsa.VmsaVariant(variant.value)
            return sev_es_digest(firmware, boot, _cpus(shape), known)
        case Snp():
            return snp_digest(_files(images, shape), _cpus(shape), SNP_ACTIVE)
        case _:
            return sev_digest(firmware, boot)


def _cpus(shape: VmShape) -> HostCpus:
    return host_cpus(shape.cpus, CPUINFO.read_text())


def _files(images: LaunchImages, shape: VmShape) -> SnpImages:
    assert images.firmware is not None
    kernel, initrd = Path(images.kernel.path), Path(images.initrd.path)
    return SnpImages(Path(images.firmware.path), kernel, initrd, kernel_command_line(shape))


def _command_line_digest(shape: VmShape) -> bytes:
    # As in the hash table: QEMU hashes the terminating zero, too.
    return hashlib.sha256(kernel_command_line(shape).encode() + b"\0").digest()


def _content(firmware: Image) -> bytes:
    if firmware.size > FIRMWARE_BYTES:
        raise NotMeasurable(f"the firmware has {firmware.size} bytes, more than any firmware has")
    with Path(firmware.path).open("rb") as file:
        content = file.read(FIRMWARE_BYTES + 1)
    if hashlib.sha256(content).hexdigest() != firmware.sha256:
        raise NotMeasurable(f"the firmware ({firmware.path}) was changed meanwhile: start it again")
    return content


def _demand_bzimage(kernel: Image) -> None:
    # QEMU loads an ELF kernel by another way, on which it leaves the hashes out (hw/i386/x86.c).
    offset, magic = BOOT_HEADER
    with Path(kernel.path).open("rb") as file:
        file.seek(offset)
        if file.read(len(magic)) != magic:
            raise NotMeasurable(
                "QEMU would not measure this kernel, which is an ELF file: use a Linux bzImage"
            )


def _demand_expected(expected: str, digest: str) -> None:
    if expected and expected.lower() != digest:
        raise NotMeasurable(
            f"this launch would measure {digest}, and the manifest expects {expected.lower()}: "
            "firmware, kernel, initrd, command line or CPUs are others"
        )
