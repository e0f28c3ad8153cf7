"""The operator's catalogue: names for images that lie in one directory beside ``catalogue.json``.

It is read anew at every look-up, so that an image that is rebuilt counts from the next launch on.
"""

from pathlib import Path
from typing import Literal

import msgspec

from supervisor.artifacts.errors import DamagedCatalogue, UnknownImage

FILE = "catalogue.json"
NO_FILES = frozenset({"", ".", ".."})
MAX_BYTES = 1024 * 1024
"""Room for thousands of entries; a larger file is not a catalogue."""


class Entry(msgspec.Struct, frozen=True):
    """One image: a file beside the catalogue, with the digest and size that it must have."""

    file: str
    sha256: str
    size: int
    kind: str


class CatalogueFile(msgspec.Struct, frozen=True):
    """``catalogue.json`` as ``chronovisor guest build`` writes it."""

    format: Literal[1]
    entries: dict[str, Entry]


class CatalogueImage(msgspec.Struct, frozen=True):
    """A catalogue entry with its place on the disk; the content is for the caller to verify."""

    name: str
    path: Path
    sha256: str
    size: int
    kind: str


class Catalogue:
    """Images by name under one directory, which need not exist yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def look_up(self, name: str) -> CatalogueImage:
        """Return the image of this name. Raises UnknownImage or DamagedCatalogue."""
        entry = self._read().get(name)
        if entry is None:
            raise UnknownImage(name, str(self.directory))
        if entry.file in NO_FILES or "/" in entry.file:
            raise DamagedCatalogue(
                f"{self.directory / FILE}: {name!r} must name a file of its own directory, "
                f"not {entry.file!r}"
            )
        path = self.directory / entry.file
        return CatalogueImage(name, path, entry.sha256, entry.size, entry.kind)

    def names(self) -> tuple[str, ...]:
        """Return the names of all images, sorted. Raises DamagedCatalogue."""
        return tuple(sorted(self._read()))

    def _read(self) -> dict[str, Entry]:
        try:
            with (self.directory / FILE).open("rb") as file:
                return msgspec.json.decode(file.read(MAX_BYTES), type=CatalogueFile).entries
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise DamagedCatalogue(f"{self.directory / FILE} cannot be read: {error}") from error
