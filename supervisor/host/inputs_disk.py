"""The inputs disk: a tar of the job, as docs/agent-protocol.md says, the same bytes each time."""

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from supervisor.artifacts.store import ArtifactStore
from supervisor.host.private_file import private_file
from supervisor.vm.guest_agent import OwnAgent
from supervisor.vm.observations import Image
from supervisor.vm.spec import Manifest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def write_inputs(
    path: Path, manifest: Manifest, *, vm_id: str, launch: int, artifacts: ArtifactStore
) -> Image:
    """Write the disk and return it with its digest. Blocks; raises UnknownArtifact or OSError."""
    with open(path, "xb", opener=private_file) as file:
        disk = _HashingFile(file)
        with tarfile.open(
            fileobj=disk, mode="w|", format=tarfile.GNU_FORMAT, encoding="utf-8"
        ) as tar:
            _add_bytes(tar, "job/launch", f"{launch}\n".encode())
            _add_bytes(tar, "job/vm_id", f"{vm_id}\n".encode())
            for number, argument in enumerate(manifest.algorithm.arguments):
                _add_bytes(tar, f"job/arguments/{number:04}", argument.encode())
            _add_words_of_the_owner(tar, manifest)
            if isinstance(manifest.agent, OwnAgent):
                _add_bytes(tar, "manifest.json", msgspec.json.encode(manifest))
            if manifest.algorithm.sha256:  # a guest with an agent of its own may do without
                _add_artifact(tar, "algorithm", artifacts, manifest.algorithm.sha256)
            for dataset in manifest.datasets:
                _add_artifact(tar, f"datasets/{dataset.name}", artifacts, dataset.sha256)
    return Image(str(path), disk.sha256(), disk.size)


def _add_words_of_the_owner(tar: tarfile.TarFile, manifest: Manifest) -> None:
    """Add how the guest decrypts its inputs and for whom it encrypts its result, where said."""
    encryptions = {"algorithm": manifest.algorithm.encryption}
    encryptions |= {f"datasets/{each.name}": each.encryption for each in manifest.datasets}
    for what, encryption in encryptions.items():
        if encryption:
            _add_bytes(tar, f"job/encryption/{what}", encryption.encode())
    for recipient in manifest.result_recipients:
        _add_bytes(tar, f"job/recipients/{recipient.name}", recipient.public_key.encode())


class _HashingFile(io.RawIOBase):
    """A file that knows the digest of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        self._hash.update(data)
        written = self._file.write(data)
        self.size += written
        return written

    def sha256(self) -> str:
        return self._hash.hexdigest()


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_member(name, len(content)), io.BytesIO(content))


def _add_artifact(tar: tarfile.TarFile, name: str, artifacts: ArtifactStore, sha256: str) -> None:
    with artifacts.open(sha256) as file:
        tar.addfile(_member(name, os.fstat(file.fileno()).st_size), file)


def _member(name: str, size: int) -> tarfile.TarInfo:
    # A TarInfo belongs to nobody (uid and gid 0) and to no time (mtime 0) unless told otherwise.
    member = tarfile.TarInfo(name)
    member.size = size
    return member
