"""Why a file could not be taken in or found; every message is a sentence for people.

ArtifactError
 +- UnknownArtifact    no upload has this digest
 +- DigestMismatch     an upload is not what its sender said
 +- ArtifactTooLarge   an upload exceeds the limit
 +- StoreFull          the disk has no room
 +- UnknownImage       the catalogue has no such name
 +- DamagedCatalogue   catalogue.json, or a file that it names, is not what it should be
"""


class ArtifactError(Exception):
    """Whatever keeps a file from being stored or found."""


class UnknownArtifact(ArtifactError):
    """No artifact has this digest."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"no artifact has the sha256 {sha256!r:.80}: upload it first")
        self.sha256 = sha256


class DigestMismatch(ArtifactError):
    """The bytes that came have another digest than the one that was announced."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"the upload has the sha256 {actual}, but {expected} was announced")
        self.expected = expected
        self.actual = actual


class ArtifactTooLarge(ArtifactError):
    """More bytes came than are allowed."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the upload is larger than the limit of {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class StoreFull(ArtifactError):
    """The disk, or the quota on it, is full."""


class UnknownImage(ArtifactError):
    """The catalogue has no image of this name."""

    def __init__(self, name: str, directory: str) -> None:
        super().__init__(
            f"no image is named {name!r:.80} in the catalogue {directory}: "
            "`chronovisor guest build` makes the reference ones"
        )
        self.name = name


class DamagedCatalogue(ArtifactError):
    """The catalogue, or a file that it names, cannot be used as it is."""
