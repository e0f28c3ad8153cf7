"""`sev platform` and `sev verify-chain`: which secure processor it is, and whether AMD made it."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from supervisor.cli.connection import reach
from supervisor.cli.drawing import print_facts
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.options import Access, F, connection_options, json_option, pass_access
from supervisor.cli.output import print_json
from supervisor.cli.sev.files import CERTIFICATE_BYTES_MAX, file_type, read_whole
from supervisor.cli.sev.refusals import refusals_told

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from supervisor.sev.amd_certificate import AmdRoots
    from supervisor.sev.platform import Capabilities, Platform


def platform_argument(command: F) -> F:
    """Let a command be told what a host answered."""
    return click.argument("platform", type=file_type, metavar="PLATFORM.json")(command)


def trust_options(command: F) -> F:
    """Let a command be told whom the owner trusts."""
    root = click.option(
        "--amd-root",
        "amd_root",
        type=file_type,
        required=True,
        multiple=True,
        help="AMD's ASK and ARK of this generation, in one file or two: what you trust.",
    )
    cek = click.option(
        "--signed-cek",
        type=file_type,
        required=True,
        help="The chip's CEK as AMD's key service signed it; `sev platform` tells its address.",
    )
    return root(cek(command))


@click.command()
@click.argument("platform", type=file_type, metavar="[PLATFORM.json]", required=False)
@json_option
@connection_options
@pass_access
def platform(access: Access, *, platform: Path | None, as_json: bool) -> None:
    """Tell which secure processor a host has, from its answer to QMP's query-sev-capabilities.

    Without a file the daemon is asked; then --json prints the answer itself, which the other
    commands read. Nothing is verified yet. The address is where AMD hands out the certificate that
    `sev verify-chain` needs.

    \b
    Example:
      chronovisor sev platform --json > platform.json
      chronovisor sev platform platform.json
    """
    if platform is None and as_json:
        print_json(ask_platform(access))
        return
    from supervisor.sev.platform import cek_address, read_capabilities

    with refusals_told(as_json=as_json):
        answer = as_answer(ask_platform(access)) if platform is None else read_answer(platform)
        found, chip = read_capabilities(answer)
    facts = {
        "chip_id": chip.hex(),
        "signed_cek": cek_address(chip),
        "pdh_sha256": sha256(found.pdh.encode()).hexdigest(),
        "cbitpos": answer.cbitpos,
        "reduced_phys_bits": answer.reduced_phys_bits,
    }
    if as_json:
        print_json(facts)
    else:
        print_facts({name.replace("_", " "): str(value) for name, value in facts.items()})


@click.command("verify-chain")
@platform_argument
@trust_options
@json_option
def verify_chain(
    *, platform: Path, signed_cek: Path, amd_root: Sequence[Path], as_json: bool
) -> None:
    """Check that AMD made the secure processor: ARK to ASK to CEK to PEK to PDH, and OCA to PEK.

    \b
    Example:
      chronovisor sev verify-chain platform.json --signed-cek cek.cert --amd-root ask_ark_rome.cert
    """
    with refusals_told(as_json=as_json):
        found, _ = trusted_platform(platform, signed_cek, amd_root)
    digest = sha256(found.pdh.encode()).hexdigest()
    if as_json:
        print_json({"verified": True, "pdh_sha256": digest})
    else:
        click.echo(f"the chain holds: AMD made the processor whose PDH has SHA-256 {digest}")


def trusted_platform(
    answer: Path, signed_cek: Path, amd_root: Sequence[Path]
) -> tuple["Platform", "ec.EllipticCurvePublicKey"]:
    """Return a platform whose chain holds, and the key to agree a session with."""
    from supervisor.sev.platform import verify_platform

    found = read_platform(answer, signed_cek)
    return found, verify_platform(found, read_roots(amd_root))


def read_platform(answer: Path, signed_cek: Path) -> "Platform":
    """Return a platform with the CEK that AMD signed; nothing of its chain is verified yet."""
    from supervisor.sev.certificate import Usage, parse_certificate
    from supervisor.sev.platform import read_capabilities, with_signed_cek

    cek = parse_certificate(read_whole(signed_cek, CERTIFICATE_BYTES_MAX), Usage.CEK)
    found, _ = read_capabilities(read_answer(answer))
    return with_signed_cek(found, cek)


def read_roots(files: Sequence[Path]) -> "AmdRoots":
    """Return whom the owner trusts, from one file or two."""
    from supervisor.sev.amd_certificate import parse_amd_certificates, trusted_roots

    contents = (read_whole(file, CERTIFICATE_BYTES_MAX) for file in files)
    return trusted_roots([each for data in contents for each in parse_amd_certificates(data)])


def read_answer(file: Path) -> "Capabilities":
    """Return QMP's answer, with or without the reply round it. Raises Malformed."""
    from supervisor.sev.errors import Malformed

    try:
        content = msgspec.json.decode(read_whole(file, CERTIFICATE_BYTES_MAX))
        inner = content.get("return", content) if isinstance(content, dict) else content
        return as_answer(inner)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{file} is no answer to query-sev-capabilities: {error}") from None


def as_answer(value: object) -> "Capabilities":
    """Return QMP's answer as it was parsed. Raises msgspec.ValidationError."""
    from supervisor.sev.platform import Capabilities

    return msgspec.convert(value, Capabilities)


def ask_platform(access: Access) -> dict[str, object]:
    """Return what the daemon's host answers, in the form of QMP. Raises Failure."""
    with reach(access) as daemon:
        found = daemon.call(daemon.client.platform())
    if found.sev is None:
        why = found.unavailable.reason if found.unavailable else "the daemon knows of none"
        raise Failure(ExitCode.HOST_TROUBLE, f"there is no secure processor to use: {why}")
    return {
        "pdh": b64encode(found.sev.pdh).decode(),
        "cert-chain": b64encode(found.sev.cert_chain).decode(),
        "cpu0-id": b64encode(found.sev.cpu0_id).decode(),
        "cbitpos": found.sev.cbitpos,
        "reduced-phys-bits": found.sev.reduced_phys_bits,
    }
