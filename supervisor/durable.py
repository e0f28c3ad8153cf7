"""Names that outlive a power cut: a file's bytes are synced by whoever writes them."""

import os
from pathlib import Path


def fsync_directory(directory: Path) -> None:
    """Have the names in a directory on the disk, as fsync(2) asks for. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
