"""From what a manifest names to files whose digests are known: all that is run is pinned."""

import hashlib
import os
from pathlib import Path

from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.artifacts.errors import DamagedCatalogue
from supervisor.artifacts.initrd import Layer, join_layers
from supervisor.artifacts.store import ArtifactStore
from supervisor.host.private_file import private_file
from supervisor.vm.bounds import FIRMWARE_VARS_BYTES
from supervisor.vm.observations import Image, LaunchImages
from supervisor.vm.spec import ByDigest, ImageRef, VmShape

BOOT_HEADER = (0x202, b"HdrS")
"""Of a bzImage (Linux, Documentation/arch/x86/boot.rst)."""
ELF_HEADER = (0, b"\x7fELF")
"""Of an uncompressed kernel with a PVH entry, which QEMU boots as well."""

FLASH_BLOCK_BYTES = 4096
"""QEMU's flash chips are made of such blocks (hw/i386/pc_sysfw.c)."""


class NotBootable(Exception):
    """An image is not of the kind that it is used as."""


class Images:
    """Resolves image references; every method blocks while it reads."""

    def __init__(self, artifacts: ArtifactStore, catalogue: Catalogue, digests: DigestCache):
        self._artifacts = artifacts
        self._catalogue = catalogue
        self._digests = digests

    def resolve(self, shape: VmShape, qemu: str, inputs: Image, own_vars: Path) -> LaunchImages:
        """Return all files of a launch; the VM's own firmware variables lie in ``own_vars``.

        Raises ArtifactError, NotBootable or OSError.
        """
        layers = tuple(self._image(layer) for layer in shape.initrd)
        return LaunchImages(
            qemu=self._pinned(Path(qemu)),
            kernel=_bootable(self._image(shape.kernel)),
            initrd=self._initrd(layers),
            initrd_layers=layers,
            inputs=inputs,
            firmware=self._image(shape.firmware) if shape.firmware else None,
            firmware_vars=self._variables(shape.firmware_vars, own_vars),
        )

    def _variables(self, template: ImageRef | None, own: Path) -> Image | None:
        """Return the VM's own variables as they are now; at its first launch, a copy."""
        if template is None:
            return None
        if not own.exists():
            copy_variables(Path(self._image(template).path), own)
        with open(own, "rb", opener=private_file) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Image(str(own), digest, os.fstat(file.fileno()).st_size)

    def _image(self, reference: ImageRef) -> Image:
        if isinstance(reference, ByDigest):
            path = self._artifacts.path(reference.sha256)
            return Image(str(path), reference.sha256, path.stat().st_size)
        named = self._catalogue.look_up(reference.name)
        try:
            image = self._pinned(named.path, named.name)
        except FileNotFoundError:
            raise DamagedCatalogue(f"the image {named.name!r} is missing: {named.path}") from None
        if image.sha256 != named.sha256:
            raise DamagedCatalogue(
                f"the image {named.name!r} ({named.path}) has the sha256 {image.sha256}, but the "
                f"catalogue says {named.sha256}: build it anew"
            )
        return image

    def _pinned(self, path: Path, name: str = "") -> Image:
        return Image(str(path), self._digests.sha256(path), path.stat().st_size, name)

    def _initrd(self, layers: tuple[Image, ...]) -> Image:
        if len(layers) == 1:
            return layers[0]
        parts = [Layer(Path(layer.path), layer.sha256) for layer in layers]
        joined = join_layers(self._artifacts, parts)
        return Image(str(self._artifacts.path(joined.sha256)), joined.sha256, joined.size)


def copy_variables(template: Path, own: Path) -> None:
    """Make a VM's own copy, which exists only once all of it is on the disk.

    Raises NotBootable or OSError.
    """
    size = template.stat().st_size
    if not 0 < size <= FIRMWARE_VARS_BYTES or size % FLASH_BLOCK_BYTES:
        raise NotBootable(
            f"the firmware's variables have {size} bytes; flash takes a multiple of "
            f"{FLASH_BLOCK_BYTES}, at most {FIRMWARE_VARS_BYTES}"
        )
    unfinished = own.with_name(f"{own.name}.new")
    with open(unfinished, "wb", opener=private_file) as copy:
        copy.write(template.read_bytes())
        copy.flush()
        os.fsync(copy.fileno())
    unfinished.replace(own)


def _bootable(kernel: Image) -> Image:
    with Path(kernel.path).open("rb") as file:
        for offset, magic in (BOOT_HEADER, ELF_HEADER):
            file.seek(offset)
            if file.read(len(magic)) == magic:
                return kernel
    raise NotBootable(
        f"the kernel {kernel.name or kernel.sha256} is neither a Linux bzImage nor an ELF file"
    )
