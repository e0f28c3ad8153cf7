"""The key that signs what the log holds: one per log, made on the daemon's first start."""

from pathlib import Path

from eventlog.errors import MalformedKey
from eventlog.note import Signer, parse_signer
from supervisor.secret_file import SecretUnfit, load_secret, read_secret


def origin(log_id: str) -> str:
    """Return the name that a log signs under."""
    return f"chronovisor/{log_id}"


def load_signer(path: Path, log_id: str) -> Signer:
    """Return the key of this log, made where there is none.

    Raises SecretUnfit where the file is no key, or that of another log, and OSError.
    """
    name = origin(log_id)
    return _signer(path, load_secret(path, lambda: Signer.generate(name).secret()), name)


def read_signer(path: Path, log_id: str) -> Signer:
    """Return the key of this log. Raises as :func:`load_signer` does."""
    return _signer(path, read_secret(path), origin(log_id))


def _signer(path: Path, secret: str, name: str) -> Signer:
    try:
        signer = parse_signer(secret)
    except MalformedKey:
        raise SecretUnfit(f"{path} holds no key of a log: restore it from a copy") from None
    if signer.verifier.name != name:
        raise SecretUnfit(
            f"{path} is the key of {signer.verifier.name}, and this log is {name}: put the log's "
            "own key there, or move this one away and a new one is made"
        )
    return signer
