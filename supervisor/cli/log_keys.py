"""Whose signature counts, and where checkpoints come from: the daemon, the key's file, a file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from chronovisor_api import v1

from supervisor.cli.connection import reach
from supervisor.cli.exits import ExitCode, Failure, Unreachable
from supervisor.cli.offline import existing_log
from supervisor.cli.options import Access, F

if TYPE_CHECKING:
    from eventlog.checkpoint import SignedCheckpoint
    from eventlog.note import Signer, Verifier

KEY_FILE = "log.key"
FILE_BYTES_MAX = 2 << 20
"""Checkpoints and proofs are smaller; whatever is larger is another file."""


def key_option(command: F) -> F:
    """Let a command be told the log's public key."""
    return click.option(
        "--key",
        metavar="KEY|FILE",
        help="The log's public key as `log key` prints it, or a file that holds it.",
    )(command)


def given_verifier(key: str) -> "Verifier":
    """Return the public key that an option names."""
    from eventlog.errors import MalformedKey
    from eventlog.note import parse_verifier

    text = key if "+" in key else read_file(Path(key)).decode("ascii", "replace").strip()
    try:
        return parse_verifier(text)
    except MalformedKey as error:
        raise Failure(ExitCode.USAGE, f"--key: {error}") from None


def own_signer(access: Access) -> "Signer":
    """Return the log's private key, for work without a daemon."""
    from eventlog.offline import log_id_of
    from supervisor.log_key import read_signer
    from supervisor.secret_file import SecretUnfit

    file = access.state_dir / KEY_FILE
    log = existing_log(access)
    try:
        return read_signer(file, log_id_of(log))
    except FileNotFoundError:
        raise Failure(
            ExitCode.NOT_FOUND,
            f"there is no key in {file}: the daemon makes it on its first start; "
            "name the public key with --key where only that is needed",
        ) from None
    except SecretUnfit as error:
        raise Failure(ExitCode.HOST_TROUBLE, str(error)) from None


def own_verifier(access: Access) -> "Verifier":
    """Return the log's public key, from the daemon or from the key's file."""
    from eventlog.note import parse_verifier

    served = served_log(access)
    return parse_verifier(served.verifier_key) if served else own_signer(access).verifier


def served_log(access: Access) -> v1.Log | None:
    """Return what a daemon says of its log; None where none answers and none was named."""
    try:
        with reach(access) as daemon:
            return daemon.call(daemon.client.log())
    except Unreachable:
        if access.connect is not None:
            raise
        return None


def fresh_checkpoint(access: Access) -> "SignedCheckpoint":
    """Have everything signed that is acknowledged: by the daemon, or with the key in its place."""
    from eventlog.checkpoint import open_checkpoint
    from eventlog.notary import Notary
    from eventlog.note import parse_verifier

    served = served_log(access)
    if served is not None:
        return open_checkpoint(served.checkpoint.encode(), parse_verifier(served.verifier_key))
    return Notary(existing_log(access), own_signer(access)).checkpoint()


def saved_checkpoint(file: Path, verifier: "Verifier") -> "SignedCheckpoint":
    """Return a checkpoint that somebody kept; the message of what is wrong names the file."""
    from eventlog.checkpoint import open_checkpoint
    from eventlog.errors import EvidenceRefused

    try:
        return open_checkpoint(read_file(file), verifier)
    except EvidenceRefused as error:
        raise Failure(ExitCode.LOG_DAMAGED, f"{file}: {error}") from None


def read_file(file: Path) -> bytes:
    """Return what is in a file that a person named. Raises Failure where it cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(FILE_BYTES_MAX)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Failure(ExitCode.USAGE, f"{file}: {reason}") from None


def deliver(content: str, file: Path | None) -> None:
    """Write an answer into the file that was asked for, or else on stdout."""
    if file is None:
        click.echo(content, nl=False)
    else:
        file.write_text(content, encoding="utf-8")
