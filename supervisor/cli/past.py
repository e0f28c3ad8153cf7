"""`log replay`, `log diff` and `log why`: what the log on disk comes to, and how it came to it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from supervisor.cli.drawing import print_facts
from supervisor.cli.messages import Json, instant_of, record_json
from supervisor.cli.offline import existing_log, explained, moment
from supervisor.cli.options import Access, json_option, pass_access, state_dir_option
from supervisor.cli.output import note, print_json, printable
from supervisor.cli.stories import Story, Told, changes_in_words, story

if TYPE_CHECKING:
    from supervisor.past.causes import Chain
    from supervisor.past.changes import Change, Difference
    from supervisor.past.moment import Moment
    from supervisor.past.states import Instant
    from supervisor.vm.state import VmState


@click.command()
@click.option("--upto", type=moment, metavar="N|TIME", help="Stop at this moment.")
@click.option(
    "--snapshot",
    is_flag=True,
    help="Begin at the daemon's snapshot in place of the beginning; an audit does not.",
)
@json_option
@state_dir_option
@pass_access
def replay(access: Access, *, upto: "Moment | None", snapshot: bool, as_json: bool) -> None:
    """Fold the whole log and print the state hash.

    It is the same after every restart, and from wherever the fold begins: SHA-256 over the state of
    all VMs and of the admission.

    \b
    Example:
      chronovisor log replay
      chronovisor log replay --upto 120 --json
    """
    if snapshot and upto is not None:
        raise click.UsageError("--snapshot begins at the newest state; leave --upto away")
    log = existing_log(access)
    with explained():
        at = _from_snapshot(access, log) if snapshot else _from_beginning(log, upto)
    facts = {
        "position": at.position,
        "recorded_at": instant_of(at.recorded_at),
        "state_hash": at.world.digest(),
        "vms": len(at.world.vms),
        "unavailable": {vm_id: each.why for vm_id, each in at.world.unavailable.items()},
    }
    if as_json:
        print_json(facts)
        return
    for vm_id, each in at.world.unavailable.items():
        note(f"VM {vm_id} is not in it: {each.why}")
    print_facts({"position": str(at.position), "VMs": str(facts["vms"])})
    click.echo(facts["state_hash"])


@click.command("diff")
@click.argument("earlier", type=moment, metavar="N")
@click.argument("later", type=moment, metavar="M")
@json_option
@state_dir_option
@pass_access
def diff(access: Access, *, earlier: "Moment", later: "Moment", as_json: bool) -> None:
    """Tell what changed between two moments, VM by VM.

    Each is a position, a time such as 2026-05-01T10:00, or a duration ago such as 10m.

    \b
    Example:
      chronovisor log diff 3 17
      chronovisor log diff 1h 0s --json
    """
    from supervisor.past.changes import difference

    with explained():
        found = difference(existing_log(access), earlier, later)
    if as_json:
        print_json(_difference_json(found))
        return
    click.echo(f"position {found.before.position} -> {found.after.position}")
    for text in changes_in_words(found.changes) or ["no VM changed"]:
        click.echo(printable(text))


@click.command()
@click.argument("position", type=click.IntRange(min=1))
@json_option
@state_dir_option
@pass_access
def why(access: Access, *, position: int, as_json: bool) -> None:
    """Tell why the event at POSITION happened.

    That is every event that led to it, from the command or the start of a daemon on: what was done
    because of it, and what was seen then.

    \b
    Example:
      chronovisor log why 17
    """
    from supervisor.past.causes import chain

    with explained():
        found = chain(existing_log(access), position)
    told = _story(found)
    ordered = _story(found.order) if found.order else None
    if as_json:
        facts = {"position": position, "trace_id": found.trace_id or None, **told.facts}
        print_json({**facts, "order": ordered and ordered.facts})
        return
    lines = told.lines if ordered is None else (*told.lines, "as was ordered:", *ordered.lines)
    click.echo("\n".join(lines))
    if found.trace_id:
        click.echo(f"trace {found.trace_id}")


def _story(found: "Chain") -> Story:
    links = [
        Told(record_json(link.event), tuple(record_json(each) for each in link.together))
        for link in found.links
    ]
    return story(links, whole=found.whole)


def _from_beginning(log: Path, upto: "Moment | None") -> "Instant":
    from supervisor.past.moment import AtTime
    from supervisor.past.states import world_at

    return world_at(log, upto or AtTime(2**63 - 1))


def _from_snapshot(access: Access, log: Path) -> "Instant":
    from supervisor.past.states import world_from_snapshot

    return world_from_snapshot(log, access.state_dir / "snapshot")


def _difference_json(found: "Difference") -> Json:
    return {
        "before": _instant_json(found.before),
        "after": _instant_json(found.after),
        "changes": [_change_json(change) for change in found.changes],
    }


def _instant_json(at: "Instant") -> Json:
    return {"position": at.position, "time": instant_of(at.recorded_at)}


def _change_json(change: "Change") -> Json:
    return {
        "vm_id": change.vm_id,
        "kind": change.kind.value,
        "phase": [_phase(change.before), _phase(change.after)],
        "outcome": [_outcome(change.before), _outcome(change.after)],
        "fields": change.fields,
    }


def _phase(state: "VmState | None") -> str | None:
    return None if state is None else state.phase.value


def _outcome(state: "VmState | None") -> str | None:
    return None if state is None or state.outcome is None else state.outcome.value
