"""Files that hold one line of secret: made on first use, readable by their owner only."""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from eventlog.regular_file import NotRegular, open_regular
from supervisor.cannot_serve import CannotServe

SECRET_FILE_BYTES = 4096
"""Tokens and keys have a line; a file that is longer holds something else."""


class SecretUnfit(CannotServe):
    """A secret's file cannot be trusted; the message says what to do."""


def load_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the line in the file ``path``, which is made where it is missing.

    Raises:
        SecretUnfit: Others may read the file, or it is not a file of ours.
        OSError: The directory cannot be read or written.
    """
    try:
        return read_secret(path)
    except FileNotFoundError:
        _create(path, make())
        return read_secret(path)


def read_secret(path: Path) -> str:
    """Return the line in the file ``path``. Raises as :func:`load_secret` does."""
    return read_secret_bytes(path).decode("ascii", "replace").strip()


def read_secret_bytes(path: Path) -> bytes:
    """Return what the file ``path`` holds. Raises as :func:`load_secret` does."""
    exposed = (
        f"others may read {path}: run chmod 600 {path}, and let nobody use what it holds if they "
        "may have seen it"
    )
    return read_private(path, SECRET_FILE_BYTES, exposed)


def read_private(path: Path, most_bytes: int, exposed: str) -> bytes:
    """Return the beginning of a file that is ours alone; ``exposed`` is said of any other mode.

    Raises as :func:`load_secret` does.
    """
    with os.fdopen(_opened(path), "rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid not in {0, os.geteuid()}:
            raise SecretUnfit(f"{path} belongs to user {found.st_uid}: do this as that user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise SecretUnfit(exposed)
        return file.read(most_bytes)


def _opened(path: Path) -> int:
    try:
        return open_regular(path)
    except NotRegular:
        raise SecretUnfit(f"{path} is not a regular file: put the file itself there") from None


def _create(path: Path, secret: str) -> None:
    # Written under another name first, so that nobody ever reads half a secret.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):  # somebody else was first, and theirs counts
            os.link(draft, path)
    finally:
        draft.unlink()
