"""From what a manifest names to files whose digests are known: all that is run is pinned."""

from pathlib import Path

from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.artifacts.errors import DamagedCatalogue
from supervisor.artifacts.initrd import Layer, join_layers
from supervisor.artifacts.store import ArtifactStore
from supervisor.vm.observations import Image, LaunchImages
from supervisor.vm.spec import ByDigest, ImageRef, VmShape

BOOT_HEADER = (0x202, b"HdrS")
"""Of a bzImage (Linux, Documentation/arch/x86/boot.rst)."""
ELF_HEADER = (0, b"\x7fELF")
"""Of an uncompressed kernel with a PVH entry, which QEMU boots as well."""


class NotBootable(Exception):
    """An image is not of the kind that it is used as."""


class Images:
    """Resolves image references; every method blocks while it reads."""

    def __init__(self, artifacts: ArtifactStore, catalogue: Catalogue, digests: DigestCache):
        self._artifacts = artifacts
        self._catalogue = catalogue
        self._digests = digests

    def resolve(self, shape: VmShape, qemu: str, inputs: Image) -> LaunchImages:
        """Return all files of a launch. Raises ArtifactError, NotBootable or OSError."""
        layers = tuple(self._image(layer) for layer in shape.initrd)
        return LaunchImages(
            qemu=self._pinned(Path(qemu)),
            kernel=_bootable(self._image(shape.kernel)),
            initrd=self._initrd(layers),
            initrd_layers=layers,
            inputs=inputs,
            firmware=self._image(shape.firmware) if shape.firmware else None,
        )

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


def _bootable(kernel: Image) -> Image:
    with Path(kernel.path).open("rb") as file:
        for offset, magic in (BOOT_HEADER, ELF_HEADER):
            file.seek(offset)
            if file.read(len(magic)) == magic:
                return kernel
    raise NotBootable(
        f"the kernel {kernel.name or kernel.sha256} is neither a Linux bzImage nor an ELF file"
    )
