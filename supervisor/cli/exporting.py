"""`log export`: the log for readers that know nothing of its format."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from supervisor.cli.drawing import byte_progress
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.log_keys import fresh_checkpoint, own_verifier
from supervisor.cli.messages import record_json
from supervisor.cli.offline import existing_log, explained
from supervisor.cli.options import Access, connection_options, json_option, pass_access
from supervisor.cli.output import print_json

if TYPE_CHECKING:
    from eventlog import Record

EVENTS_NAME = "events.ndjson"
KEY_NAME = "key.pub"


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@json_option
@connection_options
@pass_access
def export(access: Access, *, directory: Path, as_json: bool) -> None:
    """Write the whole log into DIRECTORY, which must be new or empty.

    It gets events.ndjson (one event a line; `raw` is its exact bytes in base64), key.pub, and what
    a transparency log publishes: checkpoint, tile/..., tile/entries/... (c2sp.org/tlog-tiles). Any
    web server can serve it. Segments that were archived must be put back first.

    \b
    Example:
      chronovisor log export ./published
    """
    from eventlog.publishing import publish

    log = existing_log(access)
    with explained():
        signed, key = fresh_checkpoint(access), own_verifier(access)
        records = publish(log, signed, directory)
        _make_empty(directory)
        total = sum(path.stat().st_size for path in log.glob("*.log"))
        with (
            (directory / EVENTS_NAME).open("wb") as file,
            byte_progress("exporting", total) as told,
        ):
            for record in records:
                file.write(_line(record))
                told(len(record.raw))
    (directory / KEY_NAME).write_text(f"{key}\n")
    if as_json:
        print_json({"directory": str(directory), "events": signed.checkpoint.size})
    else:
        click.echo(f"{signed.checkpoint.size} events in {directory}")


def _line(record: "Record") -> bytes:
    raw = base64.b64encode(record.raw).decode()
    return msgspec.json.encode({**record_json(record), "raw": raw}) + b"\n"


def _make_empty(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise Failure(ExitCode.USAGE, f"{directory} is not empty: name a new directory")
