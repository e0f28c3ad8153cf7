"""What the settings mean together: who may reach the daemon, and whether its files can be used.

Loopback is reached by this host alone. Whatever else is listened on is reached by strangers, and
needs TLS, so that nobody reads along, and tokens, so that not everybody is let in.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from supervisor.config.schema import Config, Tls
from supervisor.config.values import Address
from supervisor.vm.commands import FieldViolation

Violations = Iterator[FieldViolation]


def check_exposure(config: Config) -> Violations:
    """Yield each address that strangers would reach without TLS and tokens."""
    if config.tls.certificate is not None and config.tokens is not None:
        return
    for key, address in config.listen.addresses.items():
        if not address.is_loopback:
            yield FieldViolation(
                key,
                f"{address.host} is not a loopback address: without TLS and tokens only 127.0.0.1, "
                "[::1] and localhost may be bound; set tls.certificate, tls.key and tokens, or let "
                "others in through an SSH tunnel",
            )


def check_addresses(config: Config) -> Violations:
    """Yield each address that another listener has already; port 0 is a free one each time."""
    taken: dict[Address, str] = {}
    for key, address in config.listen.addresses.items():
        first = key if address.port == 0 else taken.setdefault(address, key)
        if first != key:
            yield FieldViolation(key, f"{address} is {first}, too; give each a port of its own")


def check_tls(tls: Tls) -> Violations:
    """Yield what is missing of TLS."""
    if tls.key is not None and tls.certificate is None:
        yield FieldViolation("tls.key", "takes tls.certificate beside it")
    if tls.certificate is not None and tls.key is None:
        yield FieldViolation("tls.certificate", "takes tls.key beside it")
    if tls.client_ca is not None and tls.certificate is None:
        yield FieldViolation("tls.client_ca", "takes tls.certificate and tls.key beside it")


def check_files(config: Config) -> Violations:
    """Yield each file that cannot be read, and each secret that others can read."""
    tls = config.tls
    secrets = {"tls.key": tls.key, "tokens": config.tokens}
    public = {"tls.certificate": tls.certificate, "tls.client_ca": tls.client_ca}
    for key, file in {**public, **secrets, "fault_plan": config.fault_plan}.items():
        if file is not None and (why := _unfit(file, is_secret=key in secrets)) is not None:
            yield FieldViolation(key, why)


def check(config: Config) -> Violations:
    """Yield everything that is wrong with settings that are right one by one."""
    yield from check_exposure(config)
    yield from check_addresses(config)
    yield from check_tls(config.tls)
    yield from check_files(config)


def _unfit(file: Path, *, is_secret: bool) -> str | None:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        # It may be the secret itself, written in the place of its file.
        return f"{why}; it takes the path of a file" if is_secret else f"{file}: {why}"
    if not stat.S_ISREG(mode):
        return f"{file} is not a file"
    if not os.access(file, os.R_OK, effective_ids=True):
        return f"{file}: this user may not read it"
    if is_secret and mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"others may use {file}: run chmod 600 {file}"
    return None
