"""`sev session`, and the directory in which an owner keeps one: keys, blob, and what was sealed."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.options import F, json_option
from supervisor.cli.output import note, print_json
from supervisor.cli.sev.files import CERTIFICATE_BYTES_MAX, read_whole, write_private
from supervisor.cli.sev.platforms import platform_argument, trust_options, trusted_platform
from supervisor.cli.sev.refusals import option, refusals_told
from supervisor.secret_file import SecretUnfit, read_secret_bytes
from supervisor.sev.policy import (
    PolicyFlag,
    demand_flags,
    describe_policy,
    parse_flags,
    parse_policy,
)

if TYPE_CHECKING:
    from supervisor.sev.session import Session, TransportKeys

KEYS_FILE = "tk.bin"
BLOB_FILE = "session.b64"
CERTIFICATE_FILE = "godh.b64"
FACTS_FILE = "session.json"
DEFAULT_DEMANDS = "nodbg,noks"


class SessionFacts(msgspec.Struct, frozen=True):
    """What is no secret of a session."""

    policy: int
    session_sha256: str
    pdh_sha256: str


def session_option(command: F) -> F:
    """Let a command be told which session a launch was made with."""
    return click.option(
        "--session",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        help="The directory that `sev session` made.",
    )(command)


require_option = option(
    "--require",
    parse_flags,
    metavar="FLAGS",
    default=DEFAULT_DEMANDS,
    show_default=True,
    help="Flags that the policy must have: nodbg, noks, es, nosend, domain, sev.",
)


@click.command()
@platform_argument
@trust_options
@option("--policy", parse_policy, required=True, help="A number, or names: nodbg,noks,es.")
@require_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A new directory; it gets the keys, and what goes to the host.",
)
@json_option
def session(
    *,
    platform: Path,
    signed_cek: Path,
    amd_root: Sequence[Path],
    policy: int,
    require: PolicyFlag,
    output: Path,
    as_json: bool,
) -> None:
    """Make a session for one launch on a platform whose chain holds.

    The directory keeps the keys in tk.bin, which must never leave you. session.b64 and godh.b64 go
    to the host: they hold keys that only the secure processor can unwrap. Every launch needs a new
    session.

    \b
    Example:
      chronovisor sev session platform.json --signed-cek cek.cert \\
        --amd-root ask_ark_rome.cert --policy nodbg,noks -o launch-1
    """
    from supervisor.sev.session import new_session

    with refusals_told(as_json=as_json):
        demand_flags(policy, require)
        found, pdh = trusted_platform(platform, signed_cek, amd_root)
    made = new_session(pdh, policy)
    facts = SessionFacts(
        policy, sha256(made.blob).hexdigest(), sha256(found.pdh.encode()).hexdigest()
    )
    _keep(output, made, facts)
    if as_json:
        print_json({"directory": str(output), **msgspec.structs.asdict(facts)})
        return
    click.echo(f"a session is in {output}, with the policy {policy:#x} ({describe_policy(policy)})")
    note(f"give the host {BLOB_FILE} and {CERTIFICATE_FILE}; keep {KEYS_FILE} to yourself")


def _keep(directory: Path, session: "Session", facts: SessionFacts) -> None:
    from supervisor.sev.octets import to_base64

    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        raise Failure(
            ExitCode.USAGE, f"{directory} exists: each session takes a directory of its own"
        ) from None
    write_private(directory / KEYS_FILE, session.keys.encode())
    write_private(directory / BLOB_FILE, to_base64(session.blob).encode())
    write_private(directory / CERTIFICATE_FILE, to_base64(session.certificate).encode())
    write_private(directory / FACTS_FILE, msgspec.json.encode(facts) + b"\n")


def read_keys(directory: Path) -> "TransportKeys":
    """Return a session's keys. Raises Failure where others may read them, and Malformed."""
    from supervisor.sev.session import parse_keys

    try:
        return parse_keys(read_secret_bytes(directory / KEYS_FILE))
    except FileNotFoundError:
        raise Failure(ExitCode.NOT_FOUND, f"there is no session in {directory}") from None
    except SecretUnfit as error:
        raise Failure(ExitCode.HOST_TROUBLE, str(error)) from None


def read_facts(directory: Path) -> SessionFacts:
    """Return what is no secret of a session. Raises Malformed."""
    from supervisor.sev.errors import Malformed

    file = directory / FACTS_FILE
    try:
        return msgspec.json.decode(read_whole(file, CERTIFICATE_BYTES_MAX), type=SessionFacts)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{file} is damaged: {error}") from None
