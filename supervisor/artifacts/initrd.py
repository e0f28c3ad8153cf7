"""Guests are layers: archives joined into one initrd, which the kernel unpacks one after another.

Each distinct list of layers is joined once. The result is an artifact like any other; what links
the list to it is a symbolic link in ``initrd/`` whose target says the digest.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from supervisor.artifacts.store import ArtifactStore, Stored

INDEX = "initrd"
ALIGNMENT = 4
"""An archive that follows another begins at a multiple of four (Linux, initramfs buffer format)."""
CHUNK_BYTES = 1024 * 1024


class Layer(msgspec.Struct, frozen=True):
    """One archive whose content is known to have this digest."""

    path: Path
    sha256: str


def join_layers(store: ArtifactStore, layers: Sequence[Layer]) -> Stored:
    """Return the artifact that holds all ``layers``, joined. Blocks; raises StoreFull, OSError."""
    names = "\n".join(layer.sha256 for layer in layers)
    link = store.directory / INDEX / hashlib.sha256(names.encode()).hexdigest()
    return _joined_before(store, link) or _join(store, layers, link)


def _joined_before(store: ArtifactStore, link: Path) -> Stored | None:
    try:
        target = os.readlink(link)
    except FileNotFoundError:
        return None
    sha256 = "".join(Path(target).parts[-2:])
    return Stored(sha256, store.size(sha256)) if link.exists() else None


def _join(store: ArtifactStore, layers: Sequence[Layer], link: Path) -> Stored:
    size = sum(layer.path.stat().st_size + ALIGNMENT for layer in layers)
    with store.receive(limit_bytes=size) as upload:
        for layer in layers:
            with layer.path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    upload.write(chunk)
                upload.write(bytes(-file.tell() % ALIGNMENT))
        joined = upload.commit()
    _point(link, store.path(joined.sha256))
    return joined


def _point(link: Path, target: Path) -> None:
    link.parent.mkdir(mode=0o700, exist_ok=True)
    new = link.with_name(f".{os.urandom(8).hex()}")
    new.symlink_to(os.path.relpath(target, link.parent))
    new.replace(link)
