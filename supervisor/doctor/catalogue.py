"""The catalogue: whether its images are there, are what it says, and can be read by QEMU."""

import os
from collections.abc import Iterator

from supervisor.artifacts.catalogue import Catalogue, CatalogueImage
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.artifacts.errors import ArtifactError
from supervisor.cannot_serve import CannotServe
from supervisor.config import Config
from supervisor.doctor.finding import Finding, fault, ok, warning
from supervisor.host.qemu_user import QemuUser, choose_user

SUBJECT = "catalogue"


def look_at_catalogue(config: Config) -> Iterator[Finding]:
    """Yield what is wrong with its images, or how many there are."""
    catalogue, build = Catalogue(config.catalogue), _build(config)
    try:
        images = [catalogue.look_up(name) for name in catalogue.names()]
    except ArtifactError as damage:
        yield fault(SUBJECT, str(damage), build)
        return
    if not images:
        says = f"there is none in {config.catalogue}, so no manifest finds its guest"
        yield warning(SUBJECT, says, build)
        return
    user, digests = _user(config), DigestCache()
    wrong = [(image, why) for image in images if (why := _wrong(image, user, digests))]
    for image, why in wrong:
        yield fault(SUBJECT, f"{image.name}: {why}", build)
    if not wrong:
        count = "1 image" if len(images) == 1 else f"{len(images)} images"
        yield ok(SUBJECT, f"{count} in {config.catalogue}, as catalogue.json says")


def _wrong(image: CatalogueImage, user: QemuUser | None, digests: DigestCache) -> str:
    try:
        status = image.path.stat()
        if status.st_size != image.size:
            return f"{image.path} has {status.st_size} bytes in place of {image.size}"
        if user is not None and not user.may(os.R_OK, status):
            return f"{user.name} may not read {image.path}: chmod o+r {image.path}"
        digest = digests.sha256(image.path)
    except OSError as error:
        return f"{image.path}: {(error.strerror or 'cannot be read').lower()}"
    return "" if digest == image.sha256 else f"{image.path} has another digest than its entry"


def _user(config: Config) -> QemuUser | None:
    try:
        return choose_user(config.qemu_user)
    except CannotServe:  # which is a finding of its own
        return None


def _build(config: Config) -> str:
    return f"chronovisor guest build --directory {config.catalogue}"
