"""`transcript`: what was said between the daemon and one launch of a VM, and what it decided."""

import datetime
import json
from collections.abc import Iterator

import click
import msgspec

from supervisor.cli.connection import Daemon, reach
from supervisor.cli.drawing import beside
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.messages import Json, event_json
from supervisor.cli.options import Access, connection_options, json_option, pass_access
from supervisor.cli.output import print_json, printable
from supervisor.cli.sentences import local_time, sentence
from supervisor.cli.vm_ids import vm_argument
from supervisor.vm import events as ev

FORMAT = 1
"""Of the exported file (docs/flight-recorder.md)."""
ARROWS = {"sent": "->", "received": "<-", "opened": "==", "closed": "=="}
SUBMITTED = ev.TAGS[ev.ComputationSubmitted]


@click.command()
@vm_argument()
@click.option(
    "--launch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Which start of its QEMU.  [default: the latest]",
)
@json_option
@connection_options
@pass_access
def transcript(access: Access, *, vm_id: str, launch: int | None, as_json: bool) -> None:
    """Print what was said between the daemon and a VM's QEMU, and what the daemon decided.

    It is kept of every launch until the VM is deleted, the newest 256 KiB of it, without secrets.
    With --json it is what `tools/replay-transcript` takes.

    \b
    Example:
      chronovisor transcript iris-1 --json > iris-1.ndjson
    """
    with reach(access) as daemon:
        header, *entries = exported(daemon, vm_id, launch)
    if as_json:
        print_json(header)
    for entry in entries:
        if as_json:
            print_json(entry)
        else:
            click.echo(_line(entry))


def exported(daemon: Daemon, vm_id: str, launch: int | None) -> list[Json]:
    """Return the lines of an export: what it is of, then all that was said and decided."""
    fetched = _fetch(daemon, vm_id, launch)
    history = daemon.stream(daemon.client.history(vm_id=vm_id))
    events = [event_json(event) for event in history]
    header = {"transcript": FORMAT, "vm_id": vm_id, "launch": fetched.launch}
    return [header, *_merged(fetched.entries, events, fetched.launch)]


class Fetched(msgspec.Struct, frozen=True):
    """What the flight recorder kept of a launch."""

    launch: int
    entries: tuple[Json, ...]


def _fetch(daemon: Daemon, vm_id: str, launch: int | None) -> Fetched:
    transcript = daemon.call(daemon.client.transcript(vm_id, launch=launch))
    if not transcript.content:
        raise Failure(ExitCode.NOT_FOUND, f"nothing was recorded of that launch of {vm_id}")
    return Fetched(transcript.launch, tuple(_parsed(transcript.content)))


def _parsed(content: bytes) -> Iterator[Json]:
    for line in content.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue  # the daemon's host lost power in the middle of it


def _merged(entries: tuple[Json, ...], events: list[Json], launch: int) -> list[Json]:
    """Return what was said and what was decided, in the order of their times."""
    decided = [
        {"at": event["time"], "event": event["type"], "data": event["data"]}
        for event in events
        if event["type"] == SUBMITTED or event["data"].get("launch") == launch
    ]
    return sorted([*decided, *entries], key=_instant)


def _instant(entry: Json) -> datetime.datetime:
    return datetime.datetime.fromisoformat(str(entry["at"]))


def _line(entry: Json) -> str:
    at = f"{local_time(str(entry['at'])):%H:%M:%S.%f}"
    if "event" in entry:
        return beside(f"{at} event ** ", sentence({"type": entry["event"], "data": entry["data"]}))
    arrow, channel = ARROWS.get(entry["direction"], "??"), entry["channel"]
    if "message" in entry:
        said = json.dumps(entry["message"], ensure_ascii=False)
    elif "omitted" in entry:
        said = f"({entry['omitted']} bytes or more that were not kept)"
    else:
        said = entry["direction"]
    return printable(f"{at} {channel:>5} {arrow} {said}")
