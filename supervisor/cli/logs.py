"""The group `log`, and `log cat`: the log on disk, without a daemon, also beside a live one."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supervisor.cli.archiving import archive
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.exporting import export
from supervisor.cli.groups import Group
from supervisor.cli.messages import record_json
from supervisor.cli.offline import existing_log, explained
from supervisor.cli.options import Access, json_option, pass_access, state_dir_option
from supervisor.cli.output import note, print_json
from supervisor.cli.past import diff, replay, why
from supervisor.cli.proving import check_proof, checkpoint, key, prove, prove_consistency
from supervisor.cli.repairing import repair
from supervisor.cli.sentences import line
from supervisor.cli.verifying import verify

if TYPE_CHECKING:
    from eventlog import Record


@click.group(cls=Group)
def log() -> None:
    """Read, verify and prove the log on disk.

    No daemon is needed, and a live one is not disturbed.
    """


@log.command()
@click.option(
    "--after",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Begin after this position.",
)
@click.option("--stream", metavar="NAME", help="Only this stream: host, vm/ID or artifact/SHA256.")
@click.option(
    "--skip-damage", is_flag=True, help="Go on behind what is damaged, and exit 6 at the end."
)
@json_option
@state_dir_option
@pass_access
def cat(
    access: Access, *, after: int, stream: str | None, skip_damage: bool, as_json: bool
) -> None:
    """Print the events of the log, as `events` does.

    \b
    Example:
      chronovisor log cat --stream vm/iris-1
    """
    from eventlog import read_log

    directory = existing_log(access)
    with explained():
        if skip_damage:
            records = _undamaged(directory, after, stream)
        else:
            records = read_log(directory, after, stream)
        for record in records:
            event = record_json(record)
            if as_json:
                print_json(event)
            else:
                click.echo(line(event))


def _undamaged(directory: Path, after: int, stream: str | None) -> Iterator["Record"]:
    """Yield what can be read, tell what cannot, and fail at the end where there was any."""
    from eventlog import EventLogError
    from eventlog.salvage import salvage
    from eventlog.storage import DiskStorage

    damages = 0
    for each in salvage(DiskStorage(directory)):
        if isinstance(each, EventLogError):
            damages += 1
            note(str(each))
            continue
        for record in each.records:
            if record.position > after and stream in (None, record.stream):
                yield record
    if damages:
        raise Failure(ExitCode.LOG_DAMAGED, f"the log is damaged in {damages} places")


for command in (
    *(verify, checkpoint, prove, prove_consistency, check_proof, key, export, repair),
    *(replay, diff, why, archive),
):
    log.add_command(command)
