"""The file of tokens: JSON, private to its owner, replaced as a whole.

The daemon reads it again when it changed; a file that cannot be read lets nobody in.
"""

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from eventlog.storage import fsync_directory
from supervisor.access.tokens import Grants
from supervisor.secret_file import SecretUnfit, read_private

FILE_BYTES = 1 << 20
"""Some 4,000 principals; a larger file is something else."""
GRANTS_MOST = 1000
"""Every token is compared with all of them, which takes as many half microseconds."""

LOCK_S = 10.0
"""For another's turn with the file, which takes milliseconds."""
LOCK_RETRY_S = 0.05

_logger = logging.getLogger(__name__)


def read_grants(path: Path) -> Grants:
    """Return what the file holds; nothing where there is none.

    Raises:
        SecretUnfit: Others may read the file, or it holds something else.
        OSError: It cannot be read.
    """
    try:
        content = _read(path)
    except FileNotFoundError:
        return Grants()
    try:
        grants = msgspec.json.decode(content, type=Grants)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = f"{path} is no file of tokens: {error}"
        fix = "restore it, or remove it and make tokens anew with chronovisor token create"
        raise SecretUnfit(f"{why}; {fix}") from None
    if len(grants.grants) > GRANTS_MOST:
        raise SecretUnfit(f"{path} has more than {GRANTS_MOST} principals: remove some")
    for grant in grants.grants:
        if not grant.is_well_named:
            named = f"{grant.name!r:.160} of tenant {grant.tenant!r:.80}"
            raise SecretUnfit(f"{path} names {named}, which is nobody's name: remove it")
    return grants


def _read(path: Path) -> bytes:
    exposed = f"others may use {path}: run chmod 600 {path}"
    content = read_private(path, FILE_BYTES + 1, exposed)
    if len(content) > FILE_BYTES:
        raise SecretUnfit(f"{path} is no file of tokens: it has more than {FILE_BYTES} bytes")
    return content


@contextmanager
def changing(path: Path, within_s: float = LOCK_S) -> Iterator[None]:
    """Keep others from changing the file meanwhile; they wait. Raises SecretUnfit or OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(
        path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        _lock(lock, path, within_s)
        yield
    finally:
        os.close(lock)


def _lock(lock: int, path: Path, within_s: float) -> None:
    until = time.monotonic() + within_s
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                told = f"another program has been changing {path} for {within_s:.0f} s"
                raise SecretUnfit(f"{told}: end it, and try again") from None
            time.sleep(LOCK_RETRY_S)


def write_grants(path: Path, grants: Grants) -> None:
    """Replace the file; it is durable, and never seen half. Raises OSError."""
    if len(grants.grants) > GRANTS_MOST:
        raise SecretUnfit(f"{path} takes {GRANTS_MOST} principals at most: remove some")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(grants), indent=2) + b"\n")
            file.flush()
            os.fsync(descriptor)
        draft.rename(path)
        fsync_directory(path.parent)  # a token that was revoked stays so
    except OSError as error:
        error.filename = os.fspath(path)  # the system names the draft, or nothing
        raise
    finally:
        draft.unlink(missing_ok=True)


Stamp = tuple[int, int, int, int] | None
"""What changes whenever a file does; None where there is none."""
UNREAD: Stamp = (0, 0, 0, 0)
"""That of no file there is."""


class WatchedGrants:
    """The grants of a file, as it is now."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one. Raises as :func:`read_grants` does."""
        self._path = path
        self._seen = _stamp(path)
        self._grants = read_grants(path)
        self._told = ""

    def current(self) -> Grants:
        """Return what the file holds now; nothing where it cannot be read."""
        stamp = _stamp(self._path)
        if stamp != self._seen:
            self._seen, self._grants = stamp, Grants()
            self._read_again()
        return self._grants

    def _read_again(self) -> None:
        try:
            self._grants, self._told = read_grants(self._path), ""
        except SecretUnfit as unfit:
            self._tell(str(unfit))
        except OSError as error:
            self._seen = UNREAD  # the daemon may lack a descriptor, and the file be well
            self._tell(str(error))

    def _tell(self, why: str) -> None:
        if why != self._told:
            _logger.error("no token is taken but the daemon's own: %s", why)
        self._told = why


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_ctime_ns
