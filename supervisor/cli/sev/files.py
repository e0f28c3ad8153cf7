"""Files of an owner: bounded reading, and writing that nobody else can read or replace."""

import os
from pathlib import Path

import click

from supervisor.cli.exits import ExitCode, Failure

CERTIFICATE_BYTES_MAX = 64 << 10
"""AMD's bundles have 7 KiB."""

IMAGE_BYTES_MAX = 1 << 30
"""Firmware, kernels and initrds are smaller; they are read as a whole."""

file_type = click.Path(path_type=Path, dir_okay=False)


def read_whole(file: Path, limit: int) -> bytes:
    """Return what a file holds. Raises Failure where it cannot be read, or is larger."""
    try:
        with file.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Failure(ExitCode.USAGE, f"{file}: {reason}") from None
    if len(content) > limit:
        raise Failure(ExitCode.USAGE, f"{file}: it has more than {limit} bytes, so it is another")
    return content


def write_private(file: Path, content: bytes) -> None:
    """Write a new file of mode 0600. Raises FileExistsError: keys are never overwritten."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
