"""`list` and `show`: what the daemon knows of its VMs."""

import datetime
from typing import TYPE_CHECKING

import click
import msgspec
from chronovisor_api import v1

from supervisor.cli.connection import reach
from supervisor.cli.drawing import print_facts, print_rows
from supervisor.cli.messages import event_json, vm_json, word
from supervisor.cli.offline import as_of_option, existing_log, explained
from supervisor.cli.options import (
    Access,
    connection_options,
    json_option,
    label,
    pass_access,
)
from supervisor.cli.output import human_size, note, print_json
from supervisor.cli.sentences import timeline as timeline_of
from supervisor.cli.vm_ids import vm_argument

if TYPE_CHECKING:
    from supervisor.past.moment import Moment

PROGRESS_WIDTH = 24
"""In a list; `show` has all of it."""

PHASES = {
    word(phase): phase
    for phase in v1.Phase
    if phase not in (v1.Phase.UNSPECIFIED, v1.Phase.DELETED)
}
"""What a VM in a list can be; one that is deleted is in none."""


class Wanted(msgspec.Struct, frozen=True):
    """Which VMs a list is to have: with all these labels, and in one of these phases, if any."""

    labels: dict[str, str]
    phases: tuple[v1.Phase, ...]

    def has(self, vm: v1.Vm) -> bool:
        """Whether a VM belongs in the list."""
        return self.labels.items() <= vm.labels.items() and (
            not self.phases or vm.phase in self.phases
        )


@click.command("list")
@click.option(
    "--label",
    "labels",
    type=label,
    metavar="KEY=VALUE",
    multiple=True,
    help="Only VMs with this label.",
)
@click.option(
    "--phase",
    "phases",
    type=click.Choice([str(name) for name in PHASES]),
    metavar="PHASE",
    multiple=True,
    help=f"Only VMs in this phase: {', '.join(map(str, PHASES))}; repeat for several.  "
    "[default: all]",
)
@as_of_option
@json_option
@connection_options
@pass_access
def list_vms(
    access: Access,
    *,
    labels: tuple[tuple[str, str], ...],
    phases: tuple[str, ...],
    as_of: "Moment | None",
    as_json: bool,
) -> None:
    """List the VMs.

    A VM that was deleted is in no list; what happened to it is in the log only.

    \b
    Example:
      chronovisor list --label team=blue --phase running
      chronovisor list --as-of 1h
    """
    wanted = Wanted(dict(labels), tuple(PHASES[name] for name in phases))
    now = datetime.datetime.now(datetime.UTC)
    if as_of is None:
        with reach(access) as daemon:
            vms = daemon.client.list(labels=wanted.labels, phases=wanted.phases)
            found = list(daemon.stream(vms))
    else:
        found, now = _past(access, as_of, wanted)
    if as_json:
        print_json({"vms": [vm_json(vm) for vm in found]})
    else:
        rows = [
            (vm.vm_id, vm.name, phase_and_contact(vm), progress_or_end(vm), age(vm, now))
            for vm in found
        ]
        print_rows(("VM", "NAME", "PHASE", "OUTCOME", "AGE"), rows, elastic=1)


@click.command()
@vm_argument()
@click.option("--timeline", is_flag=True, help="Print its events, timed from the submission.")
@as_of_option
@json_option
@connection_options
@pass_access
def show(
    access: Access, *, vm_id: str, timeline: bool, as_of: "Moment | None", as_json: bool
) -> None:
    """Show one VM; with --timeline, its history.

    \b
    Example:
      chronovisor show iris-1 --timeline
      chronovisor show iris-1 --as-of 17
    """
    if as_of is not None:
        if timeline:
            raise click.UsageError("--timeline is of the whole life; leave --as-of away")
        _show_past(access, vm_id, as_of, as_json=as_json)
        return
    with reach(access) as daemon:
        vm = daemon.call(daemon.client.get(vm_id))
        history = daemon.stream(daemon.client.history(vm_id=vm_id))
        past = [event_json(event) for event in history] if timeline else []
    if as_json:
        print_json({**vm_json(vm), "events": past} if timeline else vm_json(vm))
    elif timeline:
        click.echo("\n".join(timeline_of(past)))
    else:
        print_facts(facts(vm))


def _show_past(access: Access, vm_id: str, as_of: "Moment", *, as_json: bool) -> None:
    from supervisor.api.wire import from_state
    from supervisor.past.states import vm_at

    with explained():
        vm = from_state(vm_at(existing_log(access), vm_id, as_of))
    if as_json:
        print_json(vm_json(vm))
    else:
        print_facts(facts(vm))


def _past(access: Access, as_of: "Moment", wanted: Wanted) -> tuple[list[v1.Vm], datetime.datetime]:
    """Return the VMs of a moment, and when it was."""
    from supervisor.api.wire import from_state
    from supervisor.past.states import world_at

    with explained():
        at = world_at(existing_log(access), as_of)
    for vm_id, unreadable in at.world.unavailable.items():
        note(f"VM {vm_id} is not in it: {unreadable.why}")
    vms = [from_state(state) for _, state in sorted(at.world.vms.items())]
    then = datetime.datetime.fromtimestamp(at.recorded_at / 1e9, datetime.UTC)
    return [vm for vm in vms if wanted.has(vm)], then


def facts(vm: v1.Vm) -> dict[str, str]:
    """Return what people want to know of a VM; empty where there is nothing to say."""
    return {
        "VM": vm.vm_id,
        "name": vm.name,
        "phase": word(vm.phase) or "",
        "queue position": str(vm.queue_position or ""),
        "outcome": word(vm.outcome) or "",
        "detail": vm.detail,
        "exit code": "" if vm.exit_code is None else str(vm.exit_code),
        "progress": _progress(vm),
        "result": human_size(vm.result.size) if vm.result else "",
        "sha256": vm.result.sha256 if vm.result else "",
        "silent since": _moment(vm.contact.silent_since if vm.contact else None),
        "sleeps since": _moment(vm.suspended_since),
        "labels": " ".join(f"{key}={value}" for key, value in sorted(vm.labels.items())),
        "created": _moment(vm.created_at),
        "started": _moment(vm.started_at),
        "ended": _moment(vm.ended_at),
        "runs until": "" if vm.ended_at else _moment(vm.ttl_deadline),
        "launch": str(vm.launch) if vm.launch else "",
        "launch before": _previous(vm.previous_launch),
        "restarts": str(vm.restarts) if vm.restarts else "",
        "next launch": _moment(vm.restart_at),
        "inputs": ", ".join(map(_input, vm.inputs)),
        "inputs until": _moment(vm.inputs_deadline),
        "verification": word(vm.launch_state.stage) or "" if vm.launch_state else "",
        "owner decides until": _moment(vm.launch_state.deadline if vm.launch_state else None),
        "forwards": ", ".join(map(_forward, vm.forwards)),
        "QEMU process": str(vm.pid) if vm.pid else "",
        "QEMU runs as": vm.containment.user if vm.containment and vm.pid else "",
        "bounded by": _bounded_by(vm.containment) if vm.pid else "",
        "submitted by": vm.principal,
    }


def _bounded_by(held: v1.Containment | None) -> str:
    if held is None:
        return ""
    return f"cgroup {held.cgroup}" if held.cgroup else "resource limits"


def phase_and_contact(vm: v1.Vm) -> str:
    """Return where a VM is in its life, and whether its QEMU is silent."""
    silent = vm.contact is not None and vm.contact.silent_since is not None
    return f"{word(vm.phase) or ''}{', silent' if silent else ''}"


def _progress(vm: v1.Vm) -> str:
    if vm.progress is None:
        return ""
    return f"{vm.progress.fraction:.0%} {vm.progress.message}".rstrip()


def _previous(previous: v1.PreviousLaunch | None) -> str:
    if previous is None:
        return ""
    return f"{previous.launch} ended as {word(previous.outcome)}: {previous.detail}"


def _input(each: v1.Input) -> str:
    there = human_size(each.size) if each.sha256 else "awaited"
    return f"{each.provider}/{each.id} ({there})"


def _forward(forward: v1.HostForward) -> str:
    return f"127.0.0.1:{forward.host_port} -> {forward.guest_port}/{word(forward.protocol)}"


def progress_or_end(vm: v1.Vm) -> str:
    """Return how far a VM is, what it waits for, or how it ended, in few words."""
    if vm.phase is v1.Phase.BACKOFF and vm.previous_launch is not None:
        return f"after {word(vm.previous_launch.outcome)}"
    if vm.phase is v1.Phase.AWAITING_INPUTS:
        return f"{sum(not each.sha256 for each in vm.inputs)} of {len(vm.inputs)} inputs missing"
    if vm.queue_position:
        return f"queue position {vm.queue_position}"
    return word(vm.outcome) or _progress(vm)[:PROGRESS_WIDTH]


def _moment(time: datetime.datetime | None) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}" if time else ""


def age(vm: v1.Vm, now: datetime.datetime) -> str:
    """Return how long ago the VM was accepted, in its largest unit."""
    if vm.created_at is None:
        return ""
    seconds = max(0, int((now - vm.created_at).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
