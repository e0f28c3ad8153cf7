"""`top`: the VMs and what happens to them, drawn again and again until q is typed."""

import errno
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import click
import msgspec
from rich.console import Console
from rich.live import Live

from supervisor.cli.connection import reach
from supervisor.cli.drawing import is_lively, stdout_console
from supervisor.cli.messages import Json, instant, vm_json
from supervisor.cli.observing import UNDER_WAY, Observer, Picture
from supervisor.cli.options import Access, connection_options, duration, json_option, pass_access
from supervisor.cli.output import print_json
from supervisor.cli.picturing import drawn
from supervisor.cli.terminal import terminal_mode, terminations_held, terminations_raised

PLAIN_LINES = 10_000
"""Where nothing is redrawn, every VM has its line: the daemon has no more by default."""
TYPED_BYTES = 64
QUIT = b"q"
EVERY_MS_MIN = 200
"""A look asks for every VM that is under way: more often would be a load."""


@click.command()
@click.option(
    "--every",
    "every_ms",
    type=duration,
    default="2s",
    show_default=True,
    metavar="DURATION",
    help="How often to look.",
)
@click.option("--all", "everything", is_flag=True, help="Also show VMs that have ended.")
@json_option
@connection_options
@pass_access
def top(access: Access, *, every_ms: int, everything: bool, as_json: bool) -> None:
    """Watch the VMs: what they do, what they use, and the last events; q quits.

    CPU is of one CPU, so 200% is two; it and memory are known on the daemon's own host only. While
    the daemon is away, what it said last stays. Where nothing can be redrawn, and with --json, one
    picture is printed.

    \b
    Example:
      chronovisor top
      chronovisor top --every 500ms --all
    """
    is_here = access.target.startswith("unix:")
    with reach(access) as daemon:
        observer = Observer(daemon, is_here=is_here, phases=() if everything else UNDER_WAY)
        console, picture = stdout_console(), observer.look()
        if as_json:
            print_json(_told(picture))
        elif is_lively(console) and sys.stdin.isatty():
            every_s = max(every_ms, EVERY_MS_MIN) / 1000
            _watch(observer, picture, access.target, every_s)
        else:
            _print(picture, access.target, console)


def _told(picture: Picture) -> Json:
    usage = {vm_id: msgspec.structs.asdict(used) for vm_id, used in picture.usage.items()}
    return {
        "time": instant(picture.at),
        "vms": [{**vm_json(vm), "usage": usage.get(vm.vm_id)} for vm in picture.vms],
        "events": picture.events,
    }


def _print(picture: Picture, target: str, console: Console) -> None:
    """Print one picture; a pipe gets every value whole."""
    with console.capture() as captured:
        console.print(drawn(picture, target, console.width, PLAIN_LINES))
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _watch(observer: Observer, picture: Picture, target: str, every_s: float) -> None:
    console = Console(markup=False, highlight=False, emoji=False)
    screen = Live(console=console, screen=True, auto_refresh=False)
    with (
        _hangups_told(),
        terminations_held() as held,
        terminal_mode(tty.setcbreak) as keys,
        screen as live,
        terminations_raised(held),
    ):
        while True:
            now = drawn(picture, f"{target}  (q quits)", console.width, console.height)
            live.update(now, refresh=True)
            if _is_quit(keys, every_s):
                return
            picture = observer.look_again(picture)


@contextmanager
def _hangups_told() -> Iterator[None]:
    """Let a terminal that hung up be what a pipe is that nobody reads. Raises BrokenPipeError."""
    try:
        yield
    except (OSError, termios.error) as error:
        if error.args[0] != errno.EIO:
            raise
        raise BrokenPipeError from None


def _is_quit(keys: int, within_s: float) -> bool:
    """Wait for a key that quits; a terminal that hung up is one, too."""
    until = monotonic() + within_s
    while (left_s := until - monotonic()) > 0:
        if select.select([keys], [], [], left_s)[0]:
            typed = os.read(keys, TYPED_BYTES)
            if not typed or QUIT in typed.lower():
                return True
    return False
