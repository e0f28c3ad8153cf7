"""`log cat` and `log verify`: the log on disk, without a daemon, also beside a live one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.messages import Json, event_json
from supervisor.cli.options import Access, json_option, pass_access, state_dir_option
from supervisor.cli.output import byte_progress, human_size, print_json
from supervisor.cli.sentences import line

if TYPE_CHECKING:
    from eventlog import Record


@click.group()
def log() -> None:
    """Read and verify the log on disk.

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
@json_option
@state_dir_option
@pass_access
def cat(access: Access, *, after: int, stream: str | None, as_json: bool) -> None:
    """Print the events of the log, as `events` does.

    \b
    Example:
      chronovisor log cat --stream vm/iris-1
    """
    from eventlog import read_log

    with _damage_reported(as_json=False):
        for record in read_log(_existing(access.log_directory), after, stream):
            event = _event_json(record)
            if as_json:
                print_json(event)
            else:
                click.echo(line(event))


@log.command()
@json_option
@state_dir_option
@pass_access
def verify(access: Access, *, as_json: bool) -> None:
    """Check every byte of the log.

    That is checksums, the chain of digests, and gapless positions. Exits 6 and names file, byte and
    event when something is damaged or missing.

    \b
    Example:
      chronovisor log verify --json
    """
    from eventlog import verify_log

    directory = _existing(access.log_directory)
    total = sum(path.stat().st_size for path in directory.glob("*.log"))
    segments, events, size = 0, 0, 0
    with _damage_reported(as_json=as_json), byte_progress("verifying", total) as report:
        for verified in verify_log(directory):
            segments, events = segments + 1, verified.last
            size += verified.size
            report(verified.size)
    if as_json:
        print_json({"intact": True, "events": events, "segments": segments, "bytes": size})
    else:
        click.echo(f"the log is intact: {events} events, {human_size(size)}, segments: {segments}")


def _existing(directory: Path) -> Path:
    if not directory.is_dir():
        raise Failure(
            ExitCode.NOT_FOUND,
            f"there is no log in {directory}: name the daemon's directory with --state-dir",
        )
    return directory


@contextmanager
def _damage_reported(*, as_json: bool) -> Iterator[None]:
    from eventlog import CorruptLog, ForeignSegment, UnsupportedFormat

    try:
        yield
    except (CorruptLog, ForeignSegment) as damage:
        if as_json:
            print_json({"intact": False, "why": str(damage), **_place(damage)})
        raise Failure(ExitCode.LOG_DAMAGED, str(damage)) from None
    except UnsupportedFormat as error:
        raise Failure(ExitCode.HOST_TROUBLE, str(error)) from None


def _place(damage: Exception) -> Json:
    names = ("path", "offset", "position")
    return {name: getattr(damage, name, None) for name in names}


def _event_json(record: "Record") -> Json:
    """Return what `events` prints, without the ids of log and node, which a record does not say."""
    from supervisor.api.wire import from_record

    event = event_json(from_record(record, log_id="", node_id=""))
    return {key: value for key, value in event.items() if key not in {"log_id", "node_id"}}
