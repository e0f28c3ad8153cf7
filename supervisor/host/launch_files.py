"""The files of one launch, opened for QEMU: each is the very file whose digest is in the log.

The owner's session of a confidential launch is lent as memory that nobody can change, never as a
file on the disk.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path

from supervisor.artifacts.digest_cache import DigestCache
from supervisor.host.private_file import open_private
from supervisor.host.qemu_user import QemuUser
from supervisor.vm import layout
from supervisor.vm.confidential import GuestSession
from supervisor.vm.effects import SpawnQemu
from supervisor.vm.layout import InheritedFd
from supervisor.vm.observations import Image, LaunchImages

READ = 4
FOR_EVERYBODY_TO_READ = 0o444
"""Who QEMU runs as opens it anew; it has no name by which anybody else could, and no secret."""
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class NotTheFile(Exception):
    """A file is not the one that the launch was intended with, or QEMU may not read it."""


@contextmanager
def open_files(
    order: SpawnQemu, digests: DigestCache, user: QemuUser | None
) -> Iterator[dict[InheritedFd, int]]:
    """Open what QEMU inherits beside its sockets and locks. Blocks while it hashes.

    Raises NotTheFile or OSError.
    """
    with ExitStack() as opened:
        images = order.images
        if digests.sha256(Path(order.argv[0])) != images.qemu.sha256:
            raise NotTheFile(_changed("QEMU", images.qemu))
        files = {
            number: opened.enter_context(_image(what, image, digests, user)).fileno()
            for number, what, image in _read_only(images)
        }
        files |= {
            number: _own(opened, path, flags) for number, path, flags in _private(order, images)
        }
        files |= {
            number: _sealed(opened, name, text) for number, name, text in _session(order.session)
        }
        yield files


def _read_only(images: LaunchImages) -> Iterator[tuple[InheritedFd, str, Image]]:
    yield InheritedFd.KERNEL, "the kernel", images.kernel
    yield InheritedFd.INITRD, "the initrd", images.initrd
    if images.firmware:
        yield InheritedFd.FIRMWARE, "the firmware", images.firmware


def _private(order: SpawnQemu, images: LaunchImages) -> Iterator[tuple[InheritedFd, Path, int]]:
    yield InheritedFd.INPUTS, Path(images.inputs.path), os.O_RDONLY
    yield InheritedFd.RESULTS, Path(order.directory) / layout.RESULTS_DISK, os.O_RDWR
    if images.firmware_vars:
        yield InheritedFd.FIRMWARE_VARS, Path(images.firmware_vars.path), os.O_RDWR


def _session(session: GuestSession | None) -> Iterator[tuple[InheritedFd, str, str]]:
    if session:
        yield InheritedFd.GODH_CERT, "godh-cert", session.godh_cert
        yield InheritedFd.SESSION, "session", session.session_blob


def _sealed(opened: ExitStack, name: str, text: str) -> int:
    """Return a file in memory that holds ``text`` for good (memfd_create(2), file sealing)."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    opened.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(text.encode("ascii"))
    os.fchmod(descriptor, FOR_EVERYBODY_TO_READ)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    return descriptor


@contextmanager
def _image(
    what: str, image: Image, digests: DigestCache, user: QemuUser | None
) -> Iterator[BufferedReader]:
    with open(image.path, "rb") as file:
        if digests.sha256_of(file) != image.sha256:
            raise NotTheFile(_changed(what, image))
        if user and not user.may(READ, os.fstat(file.fileno())):
            raise NotTheFile(
                f"QEMU runs as {user.name}, who may not read {what} ({image.path}); "
                f"run: chmod a+r {image.path}"
            )
        yield file


def _own(opened: ExitStack, path: Path, flags: int) -> int:
    descriptor = open_private(path, flags)
    opened.callback(os.close, descriptor)
    return descriptor


def _changed(what: str, image: Image) -> str:
    return f"{what} ({image.path}) was changed after this launch was prepared: start the VM again"
