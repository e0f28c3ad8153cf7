"""The state directory: whose it is, who else can enter it, and whether all of it is there."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from supervisor.config import Config
from supervisor.doctor.finding import Finding, fault, ok, warning
from supervisor.secret_file import SecretUnfit, read_secret
from supervisor.state_directory import (
    UNIX_PATH_MAX_BYTES,
    StateDirectory,
    StateDirectoryUnfit,
    check_log_is_there,
)

SUBJECT = "state directory"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def look_at_state(config: Config) -> Iterator[Finding]:
    """Yield whether a daemon of this user can have its state there."""
    directory = StateDirectory(config.state_dir)
    length = len(os.fsencode(directory.grpc_socket))
    if length > UNIX_PATH_MAX_BYTES:
        says = f"{directory.grpc_socket} has {length} bytes, and a socket's path may have "
        yield fault(SUBJECT, f"{says}{UNIX_PATH_MAX_BYTES}", "choose a shorter state_dir")
    if not directory.root.exists():
        yield _absent(directory.root)
        return
    yield _rights(directory.root)
    yield from _contents(directory)


def _absent(root: Path) -> Finding:
    above = next(path for path in root.parents if path.exists())
    if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
        return ok(SUBJECT, f"{root} will be made")
    return fault(SUBJECT, f"{root} cannot be made: {above} is not yours", f"install -d {root}")


def _rights(root: Path) -> Finding:
    found = root.stat()
    if not stat.S_ISDIR(found.st_mode):
        return fault(SUBJECT, f"{root} is not a directory", "choose another state_dir")
    if found.st_uid != os.geteuid():
        says = f"{root} belongs to uid {found.st_uid}, and you are uid {os.geteuid()}"
        return fault(SUBJECT, says, f"run this as that user, or chown -R {os.geteuid()} {root}")
    if found.st_mode & OTHERS:
        says = f"others may enter {root}, until a daemon serves there"
        return warning(SUBJECT, says, f"chmod 700 {root}")
    return ok(SUBJECT, f"{root} is yours, and nobody else enters it")


def _contents(directory: StateDirectory) -> Iterator[Finding]:
    try:
        check_log_is_there(directory)
    except StateDirectoryUnfit as why:
        says, _, fix = str(why).rpartition(": ")
        yield fault(SUBJECT, says, fix)
    if directory.log_key.exists():
        try:
            read_secret(directory.log_key)
        except (SecretUnfit, OSError) as why:
            yield fault(SUBJECT, str(why), f"chmod 600 {directory.log_key}, or restore it")
