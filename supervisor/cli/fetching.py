"""`result` and `console`: what a VM made, and what it said."""

import codecs
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO

import click
from chronovisor_api import v1

from supervisor.cli.connection import reach
from supervisor.cli.drawing import byte_progress
from supervisor.cli.exits import ExitCode, Failure, in_words
from supervisor.cli.options import Access, address, connection_options, json_option, pass_access
from supervisor.cli.output import human_size, neutralised, note, print_json, writes_to_terminal
from supervisor.cli.vm_ids import vm_argument
from supervisor.config.schema import LOOPBACK, WEBSOCKET_PORT
from supervisor.config.values import Address

STDOUT = Path("-")
FILE_MODE = 0o666


@click.command()
@vm_argument()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Where to write it; - is stdout.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@json_option
@connection_options
@pass_access
def result(access: Access, *, vm_id: str, output: Path, force: bool, as_json: bool) -> None:
    """Fetch the result of a computation.

    It is a tar with the computation's files, stdout and stderr. FILE appears only when it is whole
    and has the digest that the log holds.

    \b
    Example:
      chronovisor result iris-1 -o iris.tar
    """
    if output == STDOUT and (as_json or writes_to_terminal()):
        raise click.UsageError("-o - writes an archive to stdout: redirect it, without --json")
    with reach(access) as daemon:
        pieces = daemon.stream(daemon.client.result_pieces(vm_id))
        with _destination(output, force=force) as file:
            fetched = _write(pieces, file)
    if as_json:
        facts = {"vm_id": vm_id, "file": str(output)}
        print_json({**facts, "sha256": fetched.sha256, "size": fetched.size})
    elif output != STDOUT:
        note(f"{output}: {human_size(fetched.size)}, sha256 {fetched.sha256}")


def _write(pieces: Iterator[v1.FetchResultResponse], file: IO[bytes]) -> v1.Result:
    first = next(pieces)
    result = first.result or v1.Result()
    with byte_progress("fetching the result", result.size) as report:
        for piece in chain([first], pieces):
            file.write(piece.chunk)
            report(len(piece.chunk))
    return result


@contextmanager
def _destination(output: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """Yield a file that takes its name only if the block ends well."""
    if output == STDOUT:
        yield sys.stdout.buffer
        return
    if output.is_dir() or (output.exists() and not force):
        advice = "name a file in it" if output.is_dir() else "replace it with --force"
        raise Failure(ExitCode.USAGE, f"{output} exists: {advice}, or choose another")
    with (
        _told_of(output),
        tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.") as file,
    ):
        yield file
        file.flush()
        os.fsync(file.fileno())
        _publish(Path(file.name), output, force=force)


@contextmanager
def _told_of(output: Path) -> Iterator[None]:
    """Name the file that was asked for in what goes wrong, and never the temporary one."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        parent = output.parent
        raise Failure(ExitCode.USAGE, f"{output}: there is no directory {parent}") from None
    except OSError as error:
        raise Failure(ExitCode.HOST_TROUBLE, f"{output}: {in_words(error)}") from None


def _publish(temporary: Path, output: Path, *, force: bool) -> None:
    temporary.chmod(FILE_MODE & ~_umask())
    if force:
        output.unlink(missing_ok=True)
    try:
        output.hardlink_to(temporary)  # unlike a rename, it replaces nothing
    except FileExistsError:
        raise Failure(ExitCode.USAGE, f"{output} exists: choose another file") from None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@click.command()
@vm_argument()
@click.option("--follow", is_flag=True, help="Go on with what is written, until the VM ends.")
@click.option("--guest-log", is_flag=True, help="What the algorithm printed, not the console.")
@click.option(
    "--launch", type=click.IntRange(1), metavar="N", help="Of this launch.  [default: the current]"
)
@click.option("--attach", "attached", is_flag=True, help="Type on it, too; Ctrl-] leaves.")
@click.option(
    "--websocket",
    type=address,
    default=f"{LOOPBACK}:{WEBSOCKET_PORT}",
    metavar="HOST:PORT",
    help="Where the daemon shows consoles, for --attach.",
    show_default=True,
)
@json_option
@connection_options
@pass_access
def console(
    access: Access,
    *,
    vm_id: str,
    follow: bool,
    guest_log: bool,
    launch: int | None,
    attached: bool,
    websocket: Address,
    as_json: bool,
) -> None:
    """Print what a VM wrote to its console.

    On a terminal control characters are replaced, because a guest could rewrite the screen with
    them; a file or a pipe gets the bytes as they are. With --json: objects
    with a "text".

    With --attach the terminal becomes the guest's: every key goes there, and every byte comes from
    there as it is, from the beginning of the log until the launch ends.

    \b
    Example:
      chronovisor console iris-1 --follow
      chronovisor console iris-1 --guest-log --launch 1
      chronovisor console iris-1 --attach
    """
    if attached:
        if follow or guest_log or as_json:
            raise click.UsageError("--attach goes without --follow, --guest-log and --json")
        from supervisor.cli.attaching import attach  # the other commands need no event loop of Trio

        attach(websocket, access, vm_id, launch)
    else:
        which = v1.ConsoleLog.GUEST if guest_log else v1.ConsoleLog.SERIAL
        with reach(access) as daemon:
            written = daemon.client.console(vm_id, log=which, follow=follow, launch=launch)
            _print(daemon.stream(written), as_json=as_json)


def _print(pieces: Iterator[bytes], *, as_json: bool) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        if as_json:
            print_json({"text": decoder.decode(piece)})
        elif writes_to_terminal():
            click.echo(neutralised(decoder.decode(piece)), nl=False)
        else:
            click.echo(piece, nl=False)
