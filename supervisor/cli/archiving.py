"""`log archive`: take old segments out of the log, with the state that they led to put in."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from supervisor.cli.drawing import byte_progress
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.offline import existing_log, explained, moment
from supervisor.cli.options import Access, json_option, pass_access, state_dir_option
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from supervisor.past.archiving import Retention
    from supervisor.past.moment import Moment


@click.command()
@click.option("--before", type=moment, metavar="N|TIME", help="Archive events before this.")
@click.option(
    "--keep", type=click.IntRange(min=0), metavar="COUNT", help="Keep this many of the newest."
)
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Move the segments here; each copy is verified before its original goes.",
)
@click.option("--drop", is_flag=True, help="Remove them for good.")
@json_option
@state_dir_option
@pass_access
def archive(
    access: Access,
    *,
    before: "Moment | None",
    keep: int | None,
    to: Path | None,
    drop: bool,
    as_json: bool,
) -> None:
    """Take old events out of the log.

    The daemon must be stopped. The log is verified and folded, the state goes into it as a
    log.base.v1 event, and then whole sealed segments are moved or removed. The log alone still
    gives the present state. The hash tree is kept: proofs still hold, and events that were moved
    can still be proved with `log prove N --archive DIR`.

    \b
    Example:
      chronovisor log archive --before 90d --to /archive/chronovisor
      chronovisor log archive --keep 100000 --drop
    """
    from supervisor.past.archiving import NothingToArchive, archive
    from supervisor.state_directory import StateDirectory, settle

    retention = _retention(before, keep)
    if (to is None) is not drop:
        raise click.UsageError("say where the events go: either --to DIR, or --drop")
    log = existing_log(access)
    total = sum(path.stat().st_size for path in log.glob("*.log"))
    name = settle(StateDirectory(access.state_dir)).node_id
    try:
        with explained(), byte_progress("verifying", total) as report:
            done = archive(log, name, retention, to, report)
    except NothingToArchive as nothing:
        raise Failure(ExitCode.USAGE, str(nothing)) from None
    if as_json:
        print_json(done)
        return
    where = f"moved to {done.to}" if done.to else "removed"
    click.echo(f"events {done.first} to {done.last} are {where}, segments: {len(done.segments)}")
    click.echo(f"the state stands at position {done.base}, hash {done.state_hash}")


def _retention(before: "Moment | None", keep: int | None) -> "Retention":
    from supervisor.past.archiving import Keep

    if before is not None and keep is None:
        return before
    if keep is not None and before is None:
        return Keep(keep)
    raise click.UsageError("say which events: either --before N|TIME, or --keep COUNT")
