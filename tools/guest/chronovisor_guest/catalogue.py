"""The list of what a built guest consists of: names that a manifest uses, files, digests.

`catalogue.json` is written last and removed first, so where it exists, what it names is complete.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from chronovisor_guest.errors import GuestError

FILE_NAME = "catalogue.json"
_FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """A file of the guest beside the catalogue; `kind` is "kernel" or "initrd", `size` in bytes."""

    file: str
    sha256: str
    size: int
    kind: str


@dataclass(frozen=True)
class Catalogue:
    """`entries` by the names that manifests use; `recipe` and `packages` say what it is made of."""

    recipe: str
    packages: Mapping[str, str]
    entries: Mapping[str, Entry]

    def is_intact(self, directory: Path) -> bool:
        """Whether every file is there with its digest."""
        paths = ((directory / entry.file, entry) for entry in self.entries.values())
        return all(path.is_file() and describe(path, entry.kind) == entry for path, entry in paths)


def describe(path: Path, kind: str) -> Entry:
    """The entry of a file as it is now."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(path.name, digest, path.stat().st_size, kind)


def read(directory: Path) -> Catalogue | None:
    """The catalogue in `directory`, None where nothing is built. Raises GuestError."""
    path = directory / FILE_NAME
    try:
        fields = json.loads(path.read_text())
        if fields["format"] != _FORMAT:
            raise GuestError(f"{path} has the format of another version: build the guest again")
        entries = {name: Entry(**entry) for name, entry in fields["entries"].items()}
        return Catalogue(fields["recipe"], fields["packages"], entries)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GuestError(f"{path} is not a catalogue: build the guest again") from error


def as_json(catalogue: Catalogue) -> str:
    """The catalogue as its file holds it."""
    return json.dumps({"format": _FORMAT, **asdict(catalogue)}, indent=2, sort_keys=True) + "\n"


def write(catalogue: Catalogue, directory: Path) -> None:
    """Put the catalogue in place, whole or not at all."""
    temporary = directory / f".{FILE_NAME}.{os.getpid()}"
    temporary.write_text(as_json(catalogue))
    os.replace(temporary, directory / FILE_NAME)
