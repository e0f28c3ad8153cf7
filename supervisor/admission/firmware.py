"""Whether what a confidential guest boots can be measured, before the computation is taken."""

import os
from pathlib import Path

from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.store import ArtifactStore
from supervisor.sev.errors import SevRefused
from supervisor.sev.firmware import parse_firmware
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from supervisor.vm.spec import ByDigest, ImageRef, Manifest

FIELD = "vm.firmware"
FIRMWARE_BYTES_MAX = 64 << 20
"""OVMF has 4 MiB; a larger file is no firmware."""

TABLE_BYTES_MAX = (64 << 10) + 32
"""The table ends 32 bytes before the image does, and its length has 16 bits."""


def check_firmware(manifest: Manifest, store: ArtifactStore, catalogue: Catalogue) -> None:
    """Raise CommandDenied for a confidential manifest whose kernel would not be measured."""
    firmware = manifest.vm.firmware
    if manifest.confidential is None or firmware is None:
        return
    try:
        parse_firmware(_end_of(_path(firmware, store, catalogue))).demand_hashes()
    except SevRefused as refused:
        raise _denied(str(refused)) from None
    except OSError as error:
        raise _denied(f"it cannot be read: {(error.strerror or str(error)).lower()}") from None


def _path(firmware: ImageRef, store: ArtifactStore, catalogue: Catalogue) -> Path:
    if isinstance(firmware, ByDigest):
        return store.path(firmware.sha256)
    return catalogue.look_up(firmware.name).path


def _end_of(file: Path) -> bytes:
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        if size > FIRMWARE_BYTES_MAX:
            raise _denied(f"it has {size} bytes; a firmware has at most {FIRMWARE_BYTES_MAX}")
        stream.seek(max(0, size - TABLE_BYTES_MAX))
        return stream.read(TABLE_BYTES_MAX)


def _denied(why: str) -> CommandDenied:
    detail = f"{FIELD}: {why}"
    return CommandDenied(DenyReason.INVALID_MANIFEST, detail, (FieldViolation(FIELD, why),))
