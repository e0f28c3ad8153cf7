"""The operator's catalogue: names for images that lie in one directory beside ``catalogue.json``.

Every look-up asks the disk whether the file is still the same, and reads it anew if it is not: an
image that is rebuilt counts from the next launch on.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from eventlog.regular_file import open_regular
from supervisor.artifacts.digest_cache import Version, is_settled, version_of
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

    def __init__(self, directory: Path, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.directory = directory
        self._file = directory / FILE
        self._now_ns = now_ns
        self._known: tuple[Version, dict[str, Entry]] | None = None

    def look_up(self, name: str) -> CatalogueImage:
        """Return the image of this name. Raises UnknownImage or DamagedCatalogue."""
        entry = self._read().get(name)
        if entry is None:
            raise UnknownImage(name, str(self.directory))
        if entry.file in NO_FILES or "/" in entry.file:
            raise DamagedCatalogue(
                f"{self._file}: {name!r} must name a file of its own directory, not {entry.file!r}"
            )
        path = self.directory / entry.file
        return CatalogueImage(name, path, entry.sha256, entry.size, entry.kind)

    def names(self) -> tuple[str, ...]:
        """Return the names of all images, sorted. Raises DamagedCatalogue."""
        return tuple(sorted(self._read()))

    def _read(self) -> dict[str, Entry]:
        try:
            version = version_of(os.stat(self._file))
            if self._known is None or self._known[0] != version:
                return self._read_anew()
            return self._known[1]
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise DamagedCatalogue(f"{self._file} cannot be read: {error}") from error

    def _read_anew(self) -> dict[str, Entry]:
        # A link is fine here: those who may write it may as well write the file.
        with os.fdopen(open_regular(Path(os.path.realpath(self._file))), "rb") as file:
            status = os.fstat(file.fileno())
            entries = msgspec.json.decode(file.read(MAX_BYTES), type=CatalogueFile).entries
        settled = is_settled(status, self._now_ns())
        self._known = (version_of(status), entries) if settled else None
        return entries
