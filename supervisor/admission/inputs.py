"""Whether everything that a manifest names is there, before the computation is taken."""

from collections.abc import Iterator

from supervisor.admission.uploads import Uploads
from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.errors import ArtifactError
from supervisor.caller import Caller
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from supervisor.vm.spec import ByDigest, ByName, ImageRef, Manifest


def check_inputs(
    manifest: Manifest, caller: Caller, uploads: Uploads, catalogue: Catalogue
) -> None:
    """Raise CommandDenied, naming the field, for an artifact or image that the caller has not."""
    for field, sha256 in _artifacts(manifest):
        uploads.size(field, sha256, caller)
    for field, image in _images(manifest):
        match image:
            case ByDigest(sha256):
                uploads.size(field, sha256, caller)
            case ByName(name):
                _check_image(catalogue, field, name)


def _check_image(catalogue: Catalogue, field: str, name: str) -> None:
    try:
        catalogue.look_up(name)
    except ArtifactError as error:
        violation = FieldViolation(field, str(error))
        detail = f"{field}: {error}"
        raise CommandDenied(DenyReason.IMAGE_UNKNOWN, detail, (violation,)) from None


def _artifacts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    # What its provider is to bring cannot be there yet; an agent of the guest's own may do without.
    digests = {"algorithm.sha256": manifest.algorithm.sha256}
    for index, dataset in enumerate(manifest.datasets):
        digests[f"datasets[{index}].sha256"] = dataset.sha256
    yield from (item for item in digests.items() if item[1])


def _images(manifest: Manifest) -> Iterator[tuple[str, ImageRef]]:
    yield "vm.kernel", manifest.vm.kernel
    for index, layer in enumerate(manifest.vm.initrd):
        yield f"vm.initrd[{index}]", layer
    if manifest.vm.firmware is not None:
        yield "vm.firmware", manifest.vm.firmware
    if manifest.vm.firmware_vars is not None:
        yield "vm.firmware_vars", manifest.vm.firmware_vars
