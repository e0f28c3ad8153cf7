"""The daemon's directory: what lies where, and whether it can be used at all.

``log/`` the event log, ``log.key`` the key that signs its
checkpoints, ``snapshot`` what it came to, ``artifacts/`` the store, ``vms/<vm_id>/``
private to each VM, ``grpc.sock`` for clients of this host, ``token`` for those that come by TCP,
``tokens`` what was given to others,
``node_id`` the log's name of this host.
"""

import os
import secrets
from pathlib import Path

import msgspec

from eventlog.regular_file import NotRegular, read_regular
from eventlog.segment import is_segment_name
from supervisor.cannot_serve import CannotServe

NODE_FILE_BYTES = 256
"""A name of 16 letters and that of the machine; a file that is longer holds something else."""
UNIX_PATH_MAX_BYTES = 107
"""sizeof(sun_path) less the NUL, unix(7)."""


class StateDirectoryUnfit(CannotServe):
    """The directory cannot be used; the message says why and what to do."""


class StateDirectory(msgspec.Struct, frozen=True):
    """Paths under the state directory, which exists and is private."""

    root: Path

    @property
    def log(self) -> Path:
        """The event log."""
        return self.root / "log"

    @property
    def snapshot(self) -> Path:
        """The folded state of some moment, to start from; it may be removed at any time."""
        return self.root / "snapshot"

    @property
    def log_key(self) -> Path:
        """The private key that signs checkpoints of the log."""
        return self.root / "log.key"

    @property
    def artifacts(self) -> Path:
        """The artifact store."""
        return self.root / "artifacts"

    @property
    def vms(self) -> Path:
        """One directory a VM."""
        return self.root / "vms"

    @property
    def grpc_socket(self) -> Path:
        """Where local clients connect."""
        return self.root / "grpc.sock"

    @property
    def token(self) -> Path:
        """The bearer token for TCP, of the one whose directory this is."""
        return self.root / "token"

    @property
    def tokens(self) -> Path:
        """The tokens that were given to others, hashed."""
        return self.root / "tokens"


def prepare_state_directory(root: Path) -> StateDirectory:
    """Make the directory where it is missing. Raises StateDirectoryUnfit."""
    directory = StateDirectory(root.absolute())
    length = len(os.fsencode(directory.grpc_socket))
    if length > UNIX_PATH_MAX_BYTES:
        raise StateDirectoryUnfit(
            f"{directory.grpc_socket}: a socket's path may have {UNIX_PATH_MAX_BYTES} bytes and "
            f"this one has {length}; choose a shorter --state-dir"
        )
    try:
        directory.vms.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.root.chmod(0o700)
    except OSError as error:
        raise StateDirectoryUnfit(
            f"the state directory {root} cannot be used: {error.strerror}; "
            "choose another with --state-dir, or make it yours"
        ) from error
    check_log_is_there(directory)
    return directory


def check_log_is_there(directory: StateDirectory) -> None:
    """Refuse a directory whose log was lost: a new one in its place would hide that.

    The log is there before its key is made. Raises StateDirectoryUnfit.
    """
    if not os.path.lexists(directory.log_key):
        return
    entries = os.listdir(directory.log) if directory.log.is_dir() else []
    if not any(is_segment_name(name) for name in entries):
        raise StateDirectoryUnfit(
            f"{directory.log_key} is there, and the log that it signs is gone from "
            f"{directory.log}: restore the log from a copy, or choose another --state-dir"
        )


class Node(msgspec.Struct, frozen=True):
    """This host's name in the log; ``moved_from`` is that of the host the directory came from."""

    node_id: str
    moved_from: str = ""


def settle(directory: StateDirectory, machine: str = "") -> Node:
    """Return this host's name in the log: random, made once for each machine it lies on.

    Without the name of the machine, a directory that was brought here keeps its host's name.
    """
    path = directory.root / "node_id"
    known, place = _read_node(path)
    if known and (place == machine or not machine):
        return Node(known)
    moved = bool(known and place)
    node = Node(known, "") if known and not moved else Node(secrets.token_hex(8), known)
    path.write_text(f"{node.node_id} {machine}\n", encoding="ascii")
    return node


def _read_node(path: Path) -> tuple[str, str]:
    try:
        read = read_regular(path, NODE_FILE_BYTES).decode("ascii", "replace")
    except NotRegular:
        raise StateDirectoryUnfit(f"{path} is not a regular file: remove it") from None
    except FileNotFoundError:
        return "", ""
    node_id, _, machine = read.strip().partition(" ")
    return node_id, machine
