"""`log verify`: every byte, every signature, and what is left to read behind a damage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from supervisor.cli.drawing import byte_progress
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.log_keys import given_verifier, key_option, own_signer, saved_checkpoint
from supervisor.cli.messages import Json
from supervisor.cli.offline import existing_log
from supervisor.cli.options import Access, json_option, pass_access, state_dir_option
from supervisor.cli.output import human_size, note, print_json

if TYPE_CHECKING:
    from eventlog import EventLogError
    from eventlog.checkpoint import SignedCheckpoint
    from eventlog.note import Verifier


class Found(msgspec.Struct):
    """What a verification has seen so far."""

    segments: int = 0
    events: int = 0
    size: int = 0
    root: bytes = b""
    tiles_checked: int = 0
    tiles_missing: int = 0
    tiles_lost: int = 0


@click.command()
@click.option(
    "--against",
    "saved",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="A checkpoint that was saved earlier or elsewhere: the log must continue it.",
)
@key_option
@click.option(
    "--keep-going", is_flag=True, help="After a damage, tell what before and behind it is readable."
)
@json_option
@state_dir_option
@pass_access
def verify(
    access: Access, *, saved: tuple[Path, ...], key: str | None, keep_going: bool, as_json: bool
) -> None:
    """Check every byte of the log, and that nobody rewrote it.

    That is checksums, the chain of digests, gapless positions, the hash tree with its files, and
    the log's own checkpoint. Whoever holds the log's key can rewrite all of these: so save a
    checkpoint on another machine, and verify against it. Exits 6 and names what is wrong.

    \b
    Example:
      chronovisor log verify --against saved-on-monday.txt
    """
    directory = existing_log(access)
    with _damage_reported(directory, as_json=as_json, keep_going=keep_going):
        verifier = _verifier(access, directory, key, needed=bool(saved))
        kept = [saved_checkpoint(file, verifier) for file in saved] if verifier else []
        own = _own_checkpoint(directory, verifier)
        found = _verified(directory, [*kept, own] if own else kept)
    covered = own.checkpoint.size if own else None
    if as_json:
        print_json(
            {
                "intact": True,
                "events": found.events,
                "segments": found.segments,
                "bytes": found.size,
                "root": found.root or None,
                "tiles": {
                    "checked": found.tiles_checked,
                    "missing": found.tiles_missing,
                    "lost": found.tiles_lost,
                },
                "checkpoint": covered,
                "against": [
                    {"file": str(file), "events": each.checkpoint.size}
                    for file, each in zip(saved, kept, strict=True)
                ],
            }
        )
        return
    click.echo(
        f"the log is intact: {found.events} events, {human_size(found.size)}, "
        f"segments: {found.segments}"
    )
    _echo_evidence(found, covered)
    for file, each in zip(saved, kept, strict=True):
        click.echo(f"it continues {file}: the first {each.checkpoint.size} events are the same")


def _echo_evidence(found: Found, covered: int | None) -> None:
    if found.tiles_missing:
        note(f"tiles that are missing, and made anew when they are needed: {found.tiles_missing}")
    if found.tiles_lost:
        note(f"tiles that are lost, so that what was archived is not proved: {found.tiles_lost}")
    if not found.root:
        note("the hash tree was not checked: the tiles of events that were archived are missing")
    if covered is None:
        note("there was no signed checkpoint to check")
    else:
        click.echo(f"its own checkpoint covers {covered} events, and its signature holds")


def _verified(directory: Path, checkpoints: Sequence["SignedCheckpoint"]) -> Found:
    from eventlog import verify_log
    from eventlog.tree_audit import tree_audit

    total = sum(path.stat().st_size for path in directory.glob("*.log"))
    audit = tree_audit(directory, [signed.checkpoint.head for signed in checkpoints])
    found = Found()
    with byte_progress("verifying", total) as report:
        for each in verify_log(directory, audit):
            found.segments, found.events = found.segments + 1, each.last
            found.size, found.root = found.size + each.size, each.root
            report(each.size)
    found.tiles_checked, found.tiles_missing = audit.tiles_checked, audit.tiles_missing
    found.tiles_lost = audit.tiles_lost
    return found


def _verifier(
    access: Access, directory: Path, key: str | None, *, needed: bool
) -> "Verifier | None":
    """Return the log's public key; None where there is none and none is needed."""
    from eventlog.errors import ForeignCheckpoint
    from eventlog.offline import log_id_of
    from supervisor.log_key import origin

    try:
        verifier = given_verifier(key) if key else own_signer(access).verifier
    except (Failure, OSError) as error:
        if key or needed:
            raise
        note(f"signatures were not checked: {error}")
        return None
    if verifier.name != origin(log_id_of(directory)):
        raise ForeignCheckpoint(verifier.name, origin(log_id_of(directory)))
    return verifier


def _own_checkpoint(directory: Path, verifier: "Verifier | None") -> "SignedCheckpoint | None":
    from eventlog.errors import UnknownSigner
    from eventlog.notary import CHECKPOINT_NAME, read_checkpoint
    from eventlog.regular_file import NotRegular

    if verifier is None:
        return None
    try:
        return read_checkpoint(directory, verifier)
    except UnknownSigner as error:
        # Another key is that of a log whose first one was lost.
        note(f"{directory / CHECKPOINT_NAME}: {error}")
        return None
    except NotRegular as error:
        detail = f"{directory / CHECKPOINT_NAME} is not a checkpoint: {error.strerror}"
        raise Failure(ExitCode.LOG_DAMAGED, detail) from None


@contextmanager
def _damage_reported(directory: Path, *, as_json: bool, keep_going: bool) -> Iterator[None]:
    from eventlog import CorruptLog, ForeignSegment, UnsupportedFormat
    from eventlog.errors import EvidenceRefused

    try:
        yield
    except (CorruptLog, ForeignSegment, EvidenceRefused) as damage:
        readable = _readable(directory) if keep_going else []
        if as_json:
            print_json({"intact": False, "why": str(damage), **_place(damage), **_told(readable)})
        else:
            for each in readable:
                click.echo(
                    each if isinstance(each, str) else "events {} to {}: readable".format(*each)
                )
        raise Failure(ExitCode.LOG_DAMAGED, str(damage)) from None
    except UnsupportedFormat as error:
        raise Failure(ExitCode.HOST_TROUBLE, str(error)) from None


def _readable(directory: Path) -> list["tuple[int, int] | str"]:
    """Return ranges of events that can be read, and between them what cannot."""
    from eventlog import EventLogError
    from eventlog.salvage import salvage
    from eventlog.storage import DiskStorage

    found: list[tuple[int, int] | str] = []
    for each in salvage(DiskStorage(directory)):
        if isinstance(each, EventLogError):
            found.append(str(each))
            continue
        first, last = each.records[0].position, each.records[-1].position
        before = found[-1] if found else ""
        if isinstance(before, tuple) and before[1] + 1 == first:
            found[-1] = (before[0], last)
        else:
            found.append((first, last))
    return found


def _told(readable: Sequence["tuple[int, int] | str"]) -> Json:
    if not readable:
        return {}
    return {
        "readable": [each for each in readable if isinstance(each, tuple)],
        "damages": [each for each in readable if isinstance(each, str)],
    }


def _place(damage: "EventLogError") -> Json:
    names = ("path", "offset", "position")
    return {name: getattr(damage, name, None) for name in names}
