"""`events`: the log as the daemon streams it."""

import difflib

import click

from supervisor.admission import events as admission
from supervisor.cli.connection import reach
from supervisor.cli.messages import event_json
from supervisor.cli.options import Access, connection_options, json_option, pass_access
from supervisor.cli.output import print_json
from supervisor.cli.sentences import line, short_type
from supervisor.cli.vm_ids import known_vms
from supervisor.vm import events as vm

TYPES = {short_type(tag): tag for tag in (*vm.TAGS.values(), *admission.TAGS.values())}


def event_type(written: str) -> str:
    """Return a whole type. One that no event has would watch for ever and print nothing."""
    if written in TYPES.values():
        return written
    if written in TYPES:
        return TYPES[written]
    (near,) = difflib.get_close_matches(written, [*TYPES, *TYPES.values()], n=1, cutoff=0.0)
    raise click.BadParameter(f"there is no type {written!r}; the nearest is {near!r}")


def _known_types(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in TYPES if name.startswith(incomplete)]


@click.command()
@click.option(
    "--after",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Begin after this position.",
)
@click.option("--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option(
    "--vm",
    "vm_id",
    metavar="ID",
    shell_complete=known_vms,
    help="Only the events of this VM.",
)
@click.option(
    "--type",
    "types",
    type=event_type,
    shell_complete=_known_types,
    metavar="TYPE",
    multiple=True,
    help="Only this type, such as guest-started or vm.guest-started.v1; repeat for several.",
)
@json_option
@connection_options
@pass_access
def events(
    access: Access,
    *,
    after: int,
    follow: bool,
    vm_id: str | None,
    types: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print the events of the log.

    A line tells time, position, VM, type, and what happened; with --json it is an object, whose
    position is the N to go on after. --follow waits for a daemon that
    goes away for up to a minute, and goes on where it was.

    \b
    Example:
      chronovisor events --vm iris-1 --follow
      chronovisor events --after 120 --type stopped --type failed --json
    """
    with reach(access) as daemon:
        watch = daemon.patient.watch if follow else daemon.patient.history
        for event in daemon.stream(watch(after=after, vm_id=vm_id, types=types)):
            facts = event_json(event)
            if as_json:
                print_json(facts)
            else:
                click.echo(line(facts))
