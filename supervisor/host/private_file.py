"""Files that belong to the daemon's user alone, whatever its umask."""

import os


def private_file(path: str, flags: int) -> int:
    """Open a file for :func:`open`, never through a link; a new one has mode 0600."""
    return os.open(path, flags | os.O_NOFOLLOW, mode=0o600)
