"""`sev digest`: what a launch of the owner's own copies of the images must measure."""

from enum import StrEnum
from pathlib import Path

import click
import msgspec

from supervisor.cli.options import json_option
from supervisor.cli.output import print_json
from supervisor.cli.sev.files import IMAGE_BYTES_MAX, file_type, read_whole
from supervisor.cli.sev.refusals import refusals_told

SNP_FEATURES = "0x1"
"""SEV_FEATURES with nothing but SNP itself, which is QEMU's default."""


class Kind(StrEnum):
    """What protects the guest."""

    SEV = "sev"
    SEV_ES = "sev-es"
    SNP = "snp"


class Images(msgspec.Struct, frozen=True):
    """Files of a launch, as they were named."""

    firmware: Path
    kernel: Path | None
    initrd: Path | None
    command_line: str | None


class Processors(msgspec.Struct, frozen=True):
    """CPUs of a launch, as far as they were named."""

    count: int | None
    model: str | None
    vmsa: str | None
    features: int


@click.command()
@click.argument("kind", type=click.Choice([each.value for each in Kind]))
@click.option("--firmware", type=file_type, required=True, help="OVMF's AmdSev build, or such.")
@click.option("--kernel", type=file_type, help="For direct boot, with kernel-hashes=on.")
@click.option("--initrd", type=file_type)
@click.option("--command-line", metavar="TEXT", help="Exactly as QEMU's -append gets it.")
@click.option("--vcpus", type=int, help="For sev-es and snp: QEMU's -smp.")
@click.option("--cpu", metavar="MODEL", help="For sev-es and snp: QEMU's -cpu, such as EPYC-Milan.")
@click.option(
    "--vmsa",
    type=click.Choice(["legacy", "init2"]),
    help="For sev-es: legacy, or init2 with legacy-vm-type=off (Linux 6.10, QEMU 9.1).",
)
@click.option(
    "--guest-features", metavar="NUMBER", default=SNP_FEATURES, show_default=True, help="For snp."
)
@json_option
def digest(
    *,
    kind: str,
    firmware: Path,
    kernel: Path | None,
    initrd: Path | None,
    command_line: str | None,
    vcpus: int | None,
    cpu: str | None,
    vmsa: str | None,
    guest_features: str,
    as_json: bool,
) -> None:
    """Print the launch digest of a guest, for `sev verify` and `sev verify-report`.

    \b
    Examples:
      chronovisor sev digest sev --firmware OVMF.amdsev.fd --kernel vmlinuz \\
        --initrd initrd.img --command-line "console=ttyS0"
      chronovisor sev digest sev-es --firmware OVMF.amdsev.fd --vcpus 2 --cpu EPYC-Milan \\
        --vmsa legacy
    """
    images = Images(firmware, kernel, initrd, command_line)
    cpus = Processors(vcpus, cpu, vmsa, _number(guest_features))
    _check_usage(Kind(kind), images, cpus)
    with refusals_told(as_json=as_json):
        found = _digest(Kind(kind), images, cpus)
    if as_json:
        print_json({"kind": kind, "digest": found.hex()})
    else:
        click.echo(found.hex())


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise click.UsageError(f"--guest-features takes a number, and got {text!r}") from None


def _check_usage(kind: Kind, images: Images, cpus: Processors) -> None:
    if images.kernel is None and (images.initrd or images.command_line is not None):
        raise click.UsageError("--initrd and --command-line are only measured with --kernel")
    if kind is not Kind.SEV and (cpus.count is None or cpus.model is None):
        raise click.UsageError(f"{kind} measures the CPUs: it takes --vcpus and --cpu")
    if (kind is Kind.SEV_ES) != (cpus.vmsa is not None):
        raise click.UsageError(
            "--vmsa is for sev-es, and it is needed there: nothing else tells it"
        )


def _digest(kind: Kind, images: Images, processors: Processors) -> bytes:
    from supervisor.sev.digest import SnpImages, sev_digest, sev_es_digest, snp_digest
    from supervisor.sev.hash_table import direct_boot
    from supervisor.sev.vmsa import Cpus, VmsaVariant

    text = images.command_line or ""
    firmware = read_whole(images.firmware, IMAGE_BYTES_MAX)
    kernel, initrd = _content(images.kernel), _content(images.initrd)
    boot = direct_boot(kernel, initrd, text) if images.kernel else None
    if kind is Kind.SEV:
        return sev_digest(firmware, boot)
    cpus = Cpus(processors.count or 0, processors.model or "")
    if kind is Kind.SEV_ES:
        return sev_es_digest(firmware, boot, cpus, VmsaVariant(processors.vmsa or ""))
    files = SnpImages(images.firmware, images.kernel, images.initrd, text)
    return snp_digest(files, cpus, processors.features)


def _content(file: Path | None) -> bytes:
    return read_whole(file, IMAGE_BYTES_MAX) if file else b""
