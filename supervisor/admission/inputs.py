"""Whether everything that a manifest names is there, before the computation is taken."""

from collections.abc import Iterator

from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.errors import ArtifactError, UnknownArtifact
from supervisor.artifacts.store import ArtifactStore
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from supervisor.vm.spec import ByDigest, ByName, ImageRef, Manifest


def check_inputs(manifest: Manifest, store: ArtifactStore, catalogue: Catalogue) -> None:
    """Raise CommandDenied, naming the field, for an artifact or image that is not there."""
    for field, sha256 in _artifacts(manifest):
        check_artifact(store, field, sha256)
    for field, image in _images(manifest):
        match image:
            case ByDigest(sha256):
                check_artifact(store, field, sha256)
            case ByName(name):
                _check_image(catalogue, field, name)


def check_artifact(store: ArtifactStore, field: str, sha256: str) -> None:
    """Raise CommandDenied, naming the field, for an artifact that is not there."""
    try:
        store.path(sha256)
    except UnknownArtifact as error:
        raise _denied(DenyReason.ARTIFACT_UNKNOWN, field, error) from None


def _check_image(catalogue: Catalogue, field: str, name: str) -> None:
    try:
        catalogue.look_up(name)
    except ArtifactError as error:
        raise _denied(DenyReason.IMAGE_UNKNOWN, field, error) from None


def _denied(reason: DenyReason, field: str, error: ArtifactError) -> CommandDenied:
    return CommandDenied(reason, f"{field}: {error}", (FieldViolation(field, str(error)),))


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
