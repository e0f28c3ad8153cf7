"""`token`: who may talk to the daemon over TCP, as what, and until when."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from supervisor.access.roles import Role
from supervisor.access.token_file import changing, read_grants, write_grants
from supervisor.access.tokens import (
    LATEST_MS,
    NAME,
    NAME_TAKES,
    RESERVED_TENANTS,
    TENANT,
    TENANT_NAME,
    TENANT_TAKES,
    Grant,
    digest,
)
from supervisor.cli.drawing import print_rows
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.groups import Group
from supervisor.cli.messages import Json, instant_of
from supervisor.cli.options import Access, duration, json_option, pass_access, state_dir_option
from supervisor.cli.output import note, print_json
from supervisor.secret_file import SecretUnfit

VALID = "valid"
TOKEN_BYTES = 32
"""256 bits from the system's generator: not to be guessed."""


@click.group(cls=Group)
def token() -> None:
    """Say who may talk to the daemon over TCP, and as what.

    These commands change a file, which a daemon that runs reads again by itself.
    """


def _file_option(command: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--tokens",
        "file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The file of tokens.  [default: tokens in the state directory]",
    )(command)


@token.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="What it may do; docs/security.md has the table.",
)
@click.option("--tenant", default=TENANT, show_default=True, help="Whose VMs it has to do with.")
@click.option("--expires", type=duration, metavar="TIME", help="After how long, such as 30d.")
@click.option(
    "--certificate",
    is_flag=True,
    help="Make no token: a client certificate of this name is the proof.",
)
@_file_option
@json_option
@state_dir_option
@pass_access
def create(
    access: Access,
    *,
    name: str,
    role: str,
    tenant: str,
    expires: int | None,
    certificate: bool,
    file: Path | None,
    as_json: bool,
) -> None:
    """Give somebody a role, and print the token that proves it.

    The token is shown this once; what is kept is its digest.

    \b
    Example:
      chronovisor token create alice --role owner --expires 30d > alice.token
      chronovisor token create Bob --role party --certificate
    """
    _check(name, tenant)
    made = "" if certificate else secrets.token_urlsafe(TOKEN_BYTES)
    now_ms = _now_ms()
    grant = Grant(
        name,
        Role(role),
        now_ms,
        tenant=tenant,
        sha256=digest(made) if made else "",
        expires_ms=None if expires is None else _after(now_ms, expires),
    )
    with _explained(), changing(path := _path(access, file)):
        grants = read_grants(path)
        if (earlier := grants.find(name)) is not None and _is_valid(earlier, now_ms):
            told = f"{name} has the role {earlier.role.value} already"
            raise Failure(ExitCode.DENIED, f"{told}: `chronovisor token revoke {name}` first")
        write_grants(path, grants.with_grant(grant))
    if as_json:
        print_json({**_row(grant, now_ms), "token": made or None})
    elif made:
        click.echo(made)
        note(f"{name} is {role} now; nobody can be shown this token again")
    else:
        note(f"{name} is {role} now, by a certificate of that name")


@token.command("list")
@_file_option
@json_option
@state_dir_option
@pass_access
def list_tokens(access: Access, *, file: Path | None, as_json: bool) -> None:
    """Show who has a token or a role by certificate. Tokens themselves are not kept.

    \b
    Example:
      chronovisor token list
    """
    with _explained():
        rows = [_row(grant, _now_ms()) for grant in read_grants(_path(access, file)).grants]
    if as_json:
        for row in rows:
            print_json(row)
    else:
        columns = ("name", "role", "tenant", "proof", "state", "expires")
        cells = [[row[name] or "" for name in columns] for row in rows]
        print_rows([name.upper() for name in columns], cells)


@token.command()
@click.argument("name")
@_file_option
@json_option
@state_dir_option
@pass_access
def revoke(access: Access, *, name: str, file: Path | None, as_json: bool) -> None:
    """Take a token or a role by certificate back, at once.

    \b
    Example:
      chronovisor token revoke alice
    """
    with _explained(), changing(path := _path(access, file)):
        grants = read_grants(path)
        grant = grants.find(name)
        if grant is None:
            raise Failure(ExitCode.NOT_FOUND, f"nobody of the name {name} has a token in {path}")
        if grant.revoked_ms is None:
            revoked = msgspec.structs.replace(grant, revoked_ms=_now_ms())
            write_grants(path, grants.with_grant(revoked))
    if as_json:
        print_json({"name": name, "state": "revoked"})
    else:
        note(f"{name} has no role any more")


def _check(name: str, tenant: str) -> None:
    if NAME.fullmatch(name) is None:
        raise Failure(ExitCode.USAGE, f"got the name {name!r:.160}; it takes {NAME_TAKES}")
    if TENANT_NAME.fullmatch(tenant) is None or tenant in RESERVED_TENANTS:
        raise Failure(ExitCode.USAGE, f"got the tenant {tenant!r:.160}; it takes {TENANT_TAKES}")


def _after(now_ms: int, time_ms: int) -> int:
    if now_ms + time_ms > LATEST_MS:
        told = "--expires: that is after the year 9999; leave it out for what never expires"
        raise Failure(ExitCode.USAGE, told)
    return now_ms + time_ms


def _path(access: Access, file: Path | None) -> Path:
    return file or access.state_dir / "tokens"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _is_valid(grant: Grant, now_ms: int) -> bool:
    return _state(grant, now_ms) == VALID


def _state(grant: Grant, now_ms: int) -> str:
    if grant.revoked_ms is not None:
        return "revoked"
    expired = grant.expires_ms is not None and grant.expires_ms <= now_ms
    return "expired" if expired else VALID


def _row(grant: Grant, now_ms: int) -> Json:
    return {
        "name": grant.name,
        "role": grant.role.value,
        "tenant": grant.tenant,
        "proof": "token" if grant.sha256 else "certificate",
        "state": _state(grant, now_ms),
        "created": instant_of(grant.created_ms * 1_000_000),
        "expires": None if grant.expires_ms is None else instant_of(grant.expires_ms * 1_000_000),
    }


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a file that cannot be used into one sentence."""
    try:
        yield
    except SecretUnfit as why:
        raise Failure(ExitCode.HOST_TROUBLE, str(why)) from None
