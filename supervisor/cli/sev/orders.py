"""`sev approve`, `reject`, `provide-session` and `report`: one order to the daemon each."""

import secrets
from pathlib import Path

import click
from chronovisor_api import v1

from supervisor.cli.connection import Daemon, reach
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.messages import vm_json, word
from supervisor.cli.options import Access, connection_options, json_option, pass_access
from supervisor.cli.output import note, print_json, printable
from supervisor.cli.sev.files import CERTIFICATE_BYTES_MAX, read_whole
from supervisor.cli.sev.refusals import option, refusals_told
from supervisor.cli.sev.sessions import BLOB_FILE, CERTIFICATE_FILE, session_option
from supervisor.cli.vm_ids import vm_argument
from supervisor.sev.octets import from_base64, from_hex

NONCE_BYTES = 16
SNP_NONCE_BYTES = 64


@click.command()
@vm_argument("VM")
@json_option
@connection_options
@pass_access
def approve(access: Access, *, vm_id: str, as_json: bool) -> None:
    """Let a launch run without verifying it here: `sev release` verifies, and this does not.

    \b
    Example:
      chronovisor sev approve iris-1
    """
    with reach(access) as daemon:
        vm = approve_launch(daemon, get(daemon, vm_id))
    _tell(vm, f"launch {vm.launch} of {printable(vm_id)} is approved", as_json=as_json)


@click.command()
@vm_argument("VM")
@click.option("--reason", metavar="TEXT", default="", help="Why; it stands in the log.")
@json_option
@connection_options
@pass_access
def reject(access: Access, *, vm_id: str, reason: str, as_json: bool) -> None:
    """End a launch that is not your guest. It is not launched again.

    \b
    Example:
      chronovisor sev reject iris-1 --reason "another kernel"
    """
    with reach(access) as daemon:
        vm = reject_launch(daemon, get(daemon, vm_id), reason)
    _tell(vm, f"launch {vm.launch} of {printable(vm_id)} is rejected", as_json=as_json)


@click.command("provide-session")
@vm_argument("VM")
@session_option
@json_option
@connection_options
@pass_access
def provide_session(access: Access, *, vm_id: str, directory: Path, as_json: bool) -> None:
    """Give a VM the session of its next launch. Only what the host may have is sent.

    \b
    Example:
      chronovisor sev provide-session iris-1 --session launch-2
    """
    with refusals_told(as_json=as_json):
        session = v1.GuestSession(
            godh_cert=_decoded(directory / CERTIFICATE_FILE),
            session_blob=_decoded(directory / BLOB_FILE),
        )
    with reach(access) as daemon:
        vm = daemon.call(daemon.patient.provide_session(vm_id, session))
    _tell(vm, f"{printable(vm_id)} has the session of {directory}", as_json=as_json)


def _nonce_of(text: str) -> bytes:
    return from_hex(text, len(text) // 2, "a nonce")


@click.command()
@vm_argument("VM")
@option("--nonce", _nonce_of, metavar="HEX", help="[default: random]")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A file."
)
@json_option
@connection_options
@pass_access
def report(access: Access, *, vm_id: str, nonce: bytes | None, output: Path, as_json: bool) -> None:
    """Have the secure processor report on a guest that runs, for `sev verify-report`.

    \b
    Example:
      chronovisor sev report iris-1 -o report.bin
    """
    with reach(access) as daemon:
        chosen = nonce or secrets.token_bytes(_nonce_bytes(get(daemon, vm_id)))
        answer = daemon.call(daemon.client.report(vm_id, chosen))
    if answer.report is None:
        why = answer.unavailable.reason if answer.unavailable else "it does not say why"
        raise Failure(ExitCode.DENIED, f"there is no report: {why}")
    output.write_bytes(answer.report)
    if as_json:
        print_json({"launch": answer.launch, "nonce": chosen.hex(), "file": str(output)})
        return
    click.echo(f"the report of launch {answer.launch} is in {output}; nothing of it is verified")
    note(f"it was made for the nonce {chosen.hex()}")


def get(daemon: Daemon, vm_id: str) -> v1.Vm:
    """Return one VM."""
    return daemon.call(daemon.patient.get(vm_id))


def measurement_of(vm: v1.Vm) -> bytes:
    """Return what was measured of a VM's launch. Raises Failure where nothing is."""
    evidence = vm.launch_state and vm.launch_state.evidence
    if not evidence or evidence.sev is None:
        detail = f"VM {vm.vm_id} is {word(vm.phase)}, and no launch of it waits for a decision"
        raise Failure(ExitCode.DENIED, detail)
    return evidence.sev.measurement


def approve_launch(daemon: Daemon, vm: v1.Vm) -> v1.Vm:
    """Let a VM's current launch run."""
    measurement = measurement_of(vm)
    approval = daemon.client.approve(vm.vm_id, launch=vm.launch, measurement=measurement)
    return daemon.call(approval)


def reject_launch(daemon: Daemon, vm: v1.Vm, reason: str) -> v1.Vm:
    """End a VM's current launch."""
    return daemon.call(daemon.client.reject(vm.vm_id, launch=vm.launch, reason=reason))


def _nonce_bytes(vm: v1.Vm) -> int:
    demanded = vm.manifest and vm.manifest.confidential
    return SNP_NONCE_BYTES if demanded and demanded.snp is not None else NONCE_BYTES


def _decoded(file: Path) -> bytes:
    return from_base64(read_whole(file, CERTIFICATE_BYTES_MAX), f"{file}")


def _tell(vm: v1.Vm, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(vm_json(vm))
    else:
        click.echo(sentence)
