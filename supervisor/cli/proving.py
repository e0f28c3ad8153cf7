"""`log key`, `log checkpoint`, `log prove`, `log prove-consistency` and `log check-proof`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.log_keys import (
    deliver,
    fresh_checkpoint,
    given_verifier,
    key_option,
    own_verifier,
    read_file,
    saved_checkpoint,
)
from supervisor.cli.messages import Json, record_json
from supervisor.cli.offline import existing_log, explained
from supervisor.cli.options import (
    Access,
    connection_options,
    json_option,
    pass_access,
)
from supervisor.cli.output import note, print_json
from supervisor.cli.sentences import line

if TYPE_CHECKING:
    from eventlog.checkpoint import Checkpoint, SignedCheckpoint
    from eventlog.proofs import Consistent, Included

output_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it into this file in place of stdout.",
)


@click.command()
@json_option
@connection_options
@pass_access
def key(access: Access, *, as_json: bool) -> None:
    """Print the log's public key.

    Keep it where nobody of this machine can change it: whatever `check-proof` and
    `verify --against` believe rests on it.

    \b
    Example:
      chronovisor log key > log.pub
    """
    with explained():
        text = str(own_verifier(access))
    if as_json:
        print_json({"key": text, "log_id": text.partition("+")[0].rpartition("/")[2]})
    else:
        click.echo(text)


@click.command()
@output_option
@json_option
@connection_options
@pass_access
def checkpoint(access: Access, *, output: Path | None, as_json: bool) -> None:
    """Sign what the log holds now, and print it.

    Carry it to another machine, or have it witnessed there: with it, anybody who has the public key
    can tell later whether the log still begins with the same events.

    \b
    Example:
      chronovisor log checkpoint -o checkpoint-$(date +%F).txt
    """
    with explained():
        signed = fresh_checkpoint(access)
    if as_json:
        print_json({**_checkpoint_json(signed.checkpoint), "note": signed.note})
        if output is not None:
            deliver(signed.note, output)
    else:
        deliver(signed.note, output)
        note(f"a checkpoint of {signed.checkpoint.size} events")


@click.command()
@click.argument("position", type=click.IntRange(min=1))
@click.option(
    "--checkpoint",
    "saved",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Prove it to who has this checkpoint.  [default: a new one]",
)
@click.option(
    "--archive",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Where the event is read that was moved there by `log archive --to DIR`.",
)
@output_option
@json_option
@connection_options
@pass_access
def prove(
    access: Access,
    *,
    position: int,
    saved: Path | None,
    archive: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Prove that the event at POSITION is in the log.

    The proof is a JSON file that holds the event, and is checked with `log check-proof`.

    \b
    Example:
      chronovisor log prove 17 -o event-17.proof
    """
    from eventlog import PositionArchived
    from eventlog.proofs import encode_proof
    from eventlog.prover import prove_inclusion

    with explained():
        signed = _signed(access, saved)
        try:
            proof = prove_inclusion(existing_log(access), position, signed, archive)
        except PositionArchived:
            raise Failure(
                ExitCode.HOST_TROUBLE,
                f"event {position} was archived: name the directory that it was moved to with "
                "--archive; a proof that was made before still holds",
            ) from None
    deliver(encode_proof(proof).decode(), output)
    if as_json and output is not None:
        covers = _checkpoint_json(signed.checkpoint)
        print_json({"file": str(output), "position": position, "checkpoint": covers})


@click.command("prove-consistency")
@click.argument("old", type=click.Path(path_type=Path, dir_okay=False))
@output_option
@json_option
@connection_options
@pass_access
def prove_consistency(access: Access, *, old: Path, output: Path | None, as_json: bool) -> None:
    """Prove that the log still begins as it did at the checkpoint in the file OLD.

    \b
    Example:
      chronovisor log prove-consistency saved-on-monday.txt -o since-monday.proof
    """
    from eventlog.proofs import encode_proof
    from eventlog.prover import prove_consistency

    with explained():
        before, now = _signed(access, old), fresh_checkpoint(access)
        proof = prove_consistency(existing_log(access), before, now)
    deliver(encode_proof(proof).decode(), output)
    if as_json and output is not None:
        ends = {"old": before, "new": now}
        covers = {name: _checkpoint_json(end.checkpoint) for name, end in ends.items()}
        print_json({"file": str(output), **covers})


@click.command("check-proof")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@key_option
@json_option
def check_proof(*, file: Path, key: str | None, as_json: bool) -> None:
    """Check a proof: without the daemon, without the log, with nothing but the public key.

    Exits 6 where the proof does not hold.

    \b
    Example:
      chronovisor log check-proof event-17.proof --key log.pub
    """
    from eventlog import proofs
    from eventlog.errors import EvidenceRefused

    if key is None:
        raise click.UsageError("name the log's public key with --key")
    verifier, data = given_verifier(key), read_file(file)
    try:
        shown = proofs.check_proof(data, verifier)
    except EvidenceRefused as error:
        if as_json:
            print_json({"holds": False, "why": str(error)})
        raise Failure(ExitCode.LOG_DAMAGED, f"{file}: {error}") from None
    if isinstance(shown, proofs.Included):
        _tell_included(shown, as_json=as_json)
    else:
        _tell_consistent(shown, as_json=as_json)


def _signed(access: Access, saved: Path | None) -> "SignedCheckpoint":
    if saved is None:
        return fresh_checkpoint(access)
    return saved_checkpoint(saved, own_verifier(access))


def _tell_included(shown: "Included", *, as_json: bool) -> None:
    event = record_json(shown.record)
    if as_json:
        print_json(
            {"holds": True, "event": event, "checkpoint": _checkpoint_json(shown.checkpoint)}
        )
        return
    click.echo(line(event))
    click.echo(
        f"the proof holds: this event is in {shown.checkpoint.origin}, which was signed with "
        f"{shown.checkpoint.size} events"
    )


def _tell_consistent(shown: "Consistent", *, as_json: bool) -> None:
    old, new = shown.old, shown.new
    if as_json:
        print_json({"holds": True, "old": _checkpoint_json(old), "new": _checkpoint_json(new)})
        return
    click.echo(
        f"the proof holds: {new.origin} with {new.size} events begins with the same "
        f"{old.size} events as before"
    )


def _checkpoint_json(checkpoint: "Checkpoint") -> Json:
    return {
        "origin": checkpoint.origin,
        "events": checkpoint.size,
        "root": checkpoint.root,
    }
