"""Options and argument types that several commands share."""

import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from chronovisor_api.channel import tls_context

from supervisor.cli.exits import ExitCode, Failure
from supervisor.config import default_state_dir
from supervisor.config.values import Address, parse_address
from supervisor.written.quantities import DURATION_TAKES, parse_duration

STATE_DIR_VARIABLE = "CHRONOVISOR_STATE_DIR"
CONNECT_VARIABLE = "CHRONOVISOR_CONNECT"
CATALOGUE_VARIABLE = "CHRONOVISOR_CATALOGUE"

TOKEN_BYTES_MAX = 4096
"""A token is 43 characters; whatever is larger is another file."""

TOKEN = re.compile(r"[!-~]+")

TLS_OPTIONS = {
    "--tls-ca": "Speak TLS with a daemon whose certificate one of these signed, PEM.",
    "--tls-cert": "The certificate to show to the daemon, PEM; it replaces the token.",
    "--tls-key": "The private key of that certificate, PEM.",
}

F = TypeVar("F", bound=Callable[..., Any])


class Access(msgspec.Struct, frozen=True):
    """Which daemon is meant, and how to reach it."""

    state_dir: Path
    connect: str | None = None
    token_file: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def target(self) -> str:
        """The daemon's address: ``unix:PATH`` or ``HOST:PORT``."""
        return self.connect or f"unix:{self.state_dir / 'grpc.sock'}"

    @property
    def log_directory(self) -> Path:
        """Where the daemon keeps its event log."""
        return self.state_dir / "log"

    def token(self) -> str | None:
        """Return the bearer token; the Unix socket needs none, and a certificate replaces it."""
        spared = self.target.startswith("unix:") or self.tls_cert is not None
        if spared and self.token_file is None:
            return None
        return self.bearer_token()

    def bearer_token(self) -> str:
        """Return the token that every TCP listener of the daemon asks for."""
        file = self.token_file or self.state_dir / "token"
        try:
            with file.open("rb") as stream:
                token = stream.read(TOKEN_BYTES_MAX).decode("ascii").strip()
            if TOKEN.fullmatch(token) is None:
                raise ValueError
            return token
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a token"
            raise Failure(
                ExitCode.DENIED,
                f"no token in {file} ({reason.lower()}): name the daemon's token file "
                f"with --token-file, or its state directory with --state-dir",
            ) from None

    def tls(self) -> ssl.SSLContext | None:
        """Return how to speak TLS with the daemon, if it is to be spoken. Raises Failure."""
        if self.tls_cert is None and self.tls_key is not None:
            raise Failure(ExitCode.USAGE, "--tls-key takes --tls-cert beside it")
        if (self.tls_ca or self.tls_cert) is None or self.target.startswith("unix:"):
            return None
        try:
            return tls_context(ca=self.tls_ca, certificate=self.tls_cert, key=self.tls_key)
        except OSError as error:
            files = ", ".join(
                str(file) for file in (self.tls_ca, self.tls_cert, self.tls_key) if file
            )
            why = getattr(error, "reason", None) or error.strerror or "not PEM"
            raise Failure(ExitCode.USAGE, f"TLS cannot use {files}: {why.lower()}") from None


pass_access = click.make_pass_decorator(Access)


def access_of(context: click.Context) -> Access:
    """Return what the options so far say; without any, the daemon of whoever asks."""
    asked = context.find_object(Access)
    return asked or Access(default_state_dir(os.environ, os.geteuid()))


def override(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keep what an option says of the daemon; also at a Tab, when no command runs."""
    if value is not None and parameter.name is not None:
        context.obj = msgspec.structs.replace(access_of(context), **{parameter.name: value})


def state_dir_option(command: F) -> F:
    """Let a command name the state directory after its own name as well as before."""
    return click.option(
        "--state-dir",
        type=click.Path(path_type=Path, file_okay=False),
        expose_value=False,
        callback=override,
        help=f"The daemon's state directory.  [env: {STATE_DIR_VARIABLE}]",
    )(command)


def connection_options(command: F) -> F:
    """Let a command say which daemon it talks to."""
    token_file = click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        expose_value=False,
        callback=override,
        help="File with the bearer token, for TCP.  [default: token in the state directory]",
    )
    connect = click.option(
        "--connect",
        metavar="unix:PATH|HOST:PORT",
        expose_value=False,
        callback=override,
        help=f"The daemon's address.  [env: {CONNECT_VARIABLE}; "
        "default: grpc.sock in the state directory]",
    )
    with_tls = tls_options(command, expose_value=False, callback=override)
    return state_dir_option(connect(token_file(with_tls)))


def tls_options(command: F, **how: Any) -> F:
    """Let a command say how to speak TLS with the daemon."""
    for flag, told in reversed(TLS_OPTIONS.items()):
        path = click.Path(path_type=Path, dir_okay=False)
        command = click.option(flag, type=path, help=told, **how)(command)
    return command


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout."
)


def duration(written: str) -> int:
    """Return a duration such as "10s" in milliseconds."""
    try:
        return int(parse_duration(written))
    except ValueError:
        raise click.BadParameter(f"got {written!r}; it takes {DURATION_TAKES}") from None


def address(written: str) -> Address:
    """Return a TCP address such as 127.0.0.1:9022."""
    try:
        return parse_address(written)
    except ValueError:
        raise click.BadParameter(f"got {written!r}; it takes HOST:PORT") from None


def label(written: str) -> tuple[str, str]:
    """Return the key and the value of a label to select by."""
    key, separator, value = written.partition("=")
    if not key or not separator:
        raise click.BadParameter(f"got {written!r}; it takes KEY=VALUE")
    return key, value
