"""`sev release`: the one command that an owner runs, for one VM or, with --watch, for a fleet."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import click
import msgspec
from chronovisor_api import v1

from supervisor.cli.connection import Daemon, reach
from supervisor.cli.exits import Failure, Unreachable
from supervisor.cli.options import Access, connection_options, json_option, label, pass_access
from supervisor.cli.output import note, print_json, printable
from supervisor.cli.sev.deciding import (
    MEASURED,
    Released,
    Wish,
    is_measured,
    release_launch,
    sessions_in,
    until,
)
from supervisor.cli.sev.launches import demand_options, secret_of
from supervisor.cli.sev.orders import get, reject_launch
from supervisor.cli.sev.refusals import OF_REFUSAL, option, refusals_told
from supervisor.cli.vm_ids import vm_argument
from supervisor.sev.errors import Mismatch, Outdated, SevRefused, WeakPolicy
from supervisor.sev.firmware_version import FirmwareVersion
from supervisor.sev.policy import PolicyFlag
from supervisor.vm.confidential_rules import REASON_CHARACTERS

OF_THE_HOST = (Mismatch, WeakPolicy, Outdated)
"""Refusals that say that it is not the owner's guest; others may be the owner's own files."""

directory_type = click.Path(path_type=Path, file_okay=False)


class Refused(msgspec.Struct, frozen=True):
    """A launch of a fleet that was not released, and why."""

    vm_id: str
    launch: int
    kind: str
    why: str


@click.command()
@vm_argument("[VM]", required=False)
@click.option("--session", "directory", type=directory_type, help="What `sev session` made.")
@demand_options
@option(
    "--secret",
    secret_of,
    metavar="luks-key:FILE|GUID:FILE",
    multiple=True,
    help="A file whose content the guest gets; may be repeated.  [default: it runs without]",
)
@click.option("--watch", is_flag=True, help="Release every launch of a fleet, until Ctrl-C.")
@click.option("--sessions", type=directory_type, help="With --watch: a directory of sessions.")
@click.option(
    "--label", "labels", type=label, metavar="KEY=VALUE", multiple=True, help="With --watch."
)
@json_option
@connection_options
@pass_access
def release(
    access: Access,
    *,
    vm_id: str | None,
    directory: Path | None,
    min_version: FirmwareVersion,
    digest: tuple[bytes, ...],
    require: PolicyFlag,
    secret: tuple[tuple[UUID, Path], ...],
    watch: bool,
    sessions: Path | None,
    labels: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Verify a launch once it is measured, and only then hand over the secret and let it run.

    The packet is kept in the session's directory and sent again where sending it failed. With
    --watch each waiting VM whose session lies below --sessions is released; what is not your guest
    is told of and rejected.

    \b
    Examples:
      chronovisor sev release iris-1 --session launch-1 --digest 77f613d7... \\
        --min-version 1.51.0 --secret luks-key:disk.key
      chronovisor sev release --watch --sessions sessions --label team=blue \\
        --digest 77f613d7... --min-version 1.51.0 --secret luks-key:disk.key
    """
    wish = Wish(min_version, digest, require, secret)
    if watch:
        if sessions is None or vm_id or directory:
            raise click.UsageError("--watch takes --sessions, and neither a VM nor --session")
        with reach(access) as daemon:
            for found in fleet(daemon, sessions, dict(labels), wish):
                _tell(found, as_json=as_json)
        return
    if vm_id is None or directory is None or sessions or labels:
        raise click.UsageError("it takes a VM and its --session, or --watch and --sessions")
    with reach(access) as daemon, refusals_told(as_json=as_json):
        vm = get(daemon, vm_id)
        if vm.phase is v1.Phase.AWAITING_SESSION:
            note(f"{vm_id} waits for a session: give it one with `sev provide-session`")
        vm = until(daemon, vm, is_measured)
        _tell(release_launch(daemon, vm, directory, wish), as_json=as_json)


def fleet(
    daemon: Daemon, sessions: Path, labels: dict[str, str], wish: Wish
) -> Iterator[Released | Refused]:
    """Yield what becomes of each launch that waits, or will; without an end of its own."""
    head = daemon.call(daemon.patient.log()).head
    waiting = daemon.client.list(labels=labels, phases=(v1.Phase.AWAITING_VERIFICATION,))
    for vm in list(daemon.stream(waiting)):
        yield from _decide(daemon, vm, sessions, labels, wish)
    for event in daemon.stream(daemon.patient.watch(after=head, types=(MEASURED,))):
        vm_id = event.stream.removeprefix("vm/")
        try:
            vm = get(daemon, vm_id)
        except Unreachable:
            raise
        except Failure as failure:  # deleted meanwhile
            note(f"{vm_id}: {failure.message}")
            continue
        yield from _decide(daemon, vm, sessions, labels, wish)


def _decide(
    daemon: Daemon, vm: v1.Vm, sessions: Path, labels: dict[str, str], wish: Wish
) -> Iterator[Released | Refused]:
    is_wanted = labels.items() <= vm.labels.items()
    if vm.phase is not v1.Phase.AWAITING_VERIFICATION or not is_wanted:
        return
    # Looked through at each launch: sessions are made while the fleet is watched.
    state = vm.launch_state or v1.LaunchState()
    directory = dict(sessions_in(sessions)).get(state.session_sha256)
    if directory is None:
        note(f"{vm.vm_id} waits, and its session is not below {sessions}")
        return
    try:
        yield release_launch(daemon, vm, directory, wish)
    except SevRefused as refusal:
        yield _refuse(daemon, vm, refusal)
    except Unreachable:
        raise
    except Failure as failure:
        yield Refused(vm.vm_id, vm.launch, "failed", failure.message)


def _refuse(daemon: Daemon, vm: v1.Vm, refusal: SevRefused) -> Refused:
    kind = OF_REFUSAL[type(refusal)].name.lower().replace("_", "-")
    if isinstance(refusal, OF_THE_HOST):
        try:
            reject_launch(daemon, vm, printable(str(refusal))[:REASON_CHARACTERS])
        except Unreachable:
            raise
        except Failure as failure:  # it ended by itself, or somebody was faster
            note(f"{vm.vm_id}: {failure.message}")
    return Refused(vm.vm_id, vm.launch, kind, str(refusal))


def _tell(found: Released | Refused, *, as_json: bool) -> None:
    if as_json:
        print_json({"released": isinstance(found, Released), **msgspec.structs.asdict(found)})
        return
    who = f"launch {found.launch} of {printable(found.vm_id)}"
    if isinstance(found, Refused):
        click.echo(f"{who} is refused ({found.kind}): {found.why}")
    else:
        what = "its secret is in, and it runs" if found.packet_sha256 else "it runs"
        click.echo(f"{who} is your guest: launch digest {found.digest}; {what}")
